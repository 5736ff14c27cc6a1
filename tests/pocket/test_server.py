from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from random import Random
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from asyndbt._chat_server import BODY_LIMIT
from asyndbt.lm import Prompt
from asyndbt.pocket import TASKS, PocketModel, dataset
from asyndbt.pocket._server import PocketServer

openai = pytest.importorskip("openai")

LABELS = ("great", "terrible")


@pytest.fixture(scope="module")
def server() -> Iterator[PocketServer]:
    with PocketServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: PocketServer) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Prompts with none, two and eight demonstrations."""
    task, rng = TASKS["sentiment-consumer"], Random(0)
    train, test = dataset(task.name, "train"), dataset(task.name, "test")

    def block(row: dict[str, str]) -> str:
        return f"Question: {task.instruction.format(**row)} Note: think twice. Answer:"

    def shots(count: int) -> tuple[tuple[str, str], ...]:
        return tuple((block(row), task.labels[row["label"]]) for row in rng.sample(train, count))

    return [Prompt(shots((0, 2, 8)[index % 3]), block(test[index])) for index in range(24)]


def ask(client: Any, prompt: Prompt, **fields: Any) -> Any:
    request = {"model": "pocket", "messages": prompt.messages, "temperature": 0, **fields}
    return client.chat.completions.create(**request)


def raw(
    server: PocketServer,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, Any]:
    """Send one request by hand; give status, headers and the JSON of the answer."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        content = reply.read()
        return reply.status, reply.headers, json.loads(content) if content else None
    finally:
        connection.close()


def chat(server: PocketServer, body: object) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = raw(server, "POST", "/v1/chat/completions", data)
    return status, answer


def user(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def test_logprobs_are_the_model_s_to_the_last_bit(client: Any, prompts: list[Prompt]) -> None:
    model = PocketModel.load()
    expected = model.label_log_probabilities([prompt.text for prompt in prompts], LABELS)
    seen = 0
    for prompt, row in zip(prompts, expected, strict=True):
        (position,) = (
            ask(client, prompt, logprobs=True, top_logprobs=20).choices[0].logprobs.content
        )
        top = {entry.token: entry.logprob for entry in position.top_logprobs}
        assert len(top) == 20
        assert list(top.values()) == sorted(top.values(), reverse=True)
        assert position.logprob == top[position.token]
        assert bytes(position.bytes).decode() == position.token
        for label, value in zip(LABELS, row, strict=True):
            assert top.get(label, value) == value
            seen += label in top
    assert seen > len(prompts)


def test_at_temperature_0_it_says_what_the_model_says(client: Any, prompts: list[Prompt]) -> None:
    model = PocketModel.load()
    for prompt in prompts[:6]:
        answer = ask(client, prompt, max_completion_tokens=1, stop=["\n"])
        (choice,) = answer.choices
        assert [choice.message.content] == model.complete([prompt.text])
        assert (choice.finish_reason, choice.logprobs) == ("stop", None)
        assert answer.usage.prompt_tokens == model.count_tokens(prompt.text)
        assert (answer.usage.completion_tokens, answer.model) == (1, "pocket")
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 1


def test_logprobs_without_top_are_of_the_answer_alone(client: Any, prompts: list[Prompt]) -> None:
    (position,) = ask(client, prompts[0], logprobs=True).choices[0].logprobs.content
    assert position.top_logprobs == []
    scores = PocketModel.load().next_word_log_probabilities([prompts[0].text])
    assert position.logprob == scores.max()


def test_system_messages_and_parts_change_nothing(client: Any, prompts: list[Prompt]) -> None:
    plain = ask(client, prompts[1], logprobs=True)
    messages: list[dict[str, Any]] = [
        {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
        for turn in prompts[1].messages
    ]
    messages.insert(0, {"role": "system", "content": "Say no."})
    told = ask(client, prompts[1], messages=messages, logprobs=True)
    assert told.choices == plain.choices
    assert told.usage == plain.usage


def test_a_seed_makes_choices_the_same_and_each_its_own(client: Any, prompts: list[Prompt]) -> None:
    def said(n: int, seed: int) -> list[str]:
        answer = ask(client, prompts[0], n=n, seed=seed, temperature=1.5)
        assert [choice.index for choice in answer.choices] == list(range(n))
        assert answer.usage.completion_tokens == n
        return [choice.message.content for choice in answer.choices]

    first = said(20, 7)
    assert said(20, 7) == first
    assert said(8, 7) == first[:8]
    assert said(20, 8) != first
    assert len(set(first)) > 1


@pytest.mark.parametrize("temperature", [0.5, 1, None])
def test_choices_are_drawn_from_the_distribution(
    client: Any, prompts: list[Prompt], temperature: float | None
) -> None:
    model = PocketModel.load()
    (scores,) = model.next_word_log_probabilities([prompts[0].text])
    weights = np.exp(scores / (temperature or 1))
    expected = dict(zip(model.words, weights / weights.sum(), strict=True))
    draws = 10 * 128
    counts: Counter[str] = Counter()
    for seed in range(10):
        answer = ask(client, prompts[0], n=128, seed=seed, temperature=temperature)
        counts.update(choice.message.content for choice in answer.choices)
    for word in LABELS:
        deviation = (expected[word] * (1 - expected[word]) / draws) ** 0.5
        assert counts[word] / draws == pytest.approx(expected[word], abs=4 * deviation)


def test_a_tiny_temperature_is_greedy(server: PocketServer, prompts: list[Prompt]) -> None:
    body = {"model": "pocket", "messages": prompts[0].messages, "temperature": 1e-320}
    status, answer = chat(server, body)
    assert status == 200
    said = PocketModel.load().complete([prompts[0].text])
    assert [answer["choices"][0]["message"]["content"]] == said


def test_side_by_side_requests_get_what_single_ones_get(
    client: Any, server: PocketServer, prompts: list[Prompt]
) -> None:
    def scores(prompt: Prompt) -> Any:
        return ask(client, prompt, logprobs=True, top_logprobs=20).choices

    alone = [scores(prompt) for prompt in prompts]
    before = server.requests
    with ThreadPoolExecutor(64) as pool:
        together = list(pool.map(scores, prompts * 6))
    assert together == alone * 6
    assert server.requests == before + 6 * len(prompts)


def test_one_connection_serves_many_requests(server: PocketServer, prompts: list[Prompt]) -> None:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    connection.connect()
    socket = connection.sock
    body = json.dumps({"model": "pocket", "messages": prompts[0].messages})
    for method, path, status in [
        ("GET", "/health", 200),
        ("POST", "/v1/chat/completions", 200),
        ("POST", "/v1/nowhere", 404),
        ("DELETE", "/v1/chat/completions", 405),
        ("POST", "/v1/chat/completions", 200),
    ]:
        connection.request(method, path, body if method != "GET" else None)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
        assert connection.sock is socket
    connection.close()


def test_models_and_health(client: Any, server: PocketServer) -> None:
    assert [model.id for model in client.models.list()] == ["pocket"]
    assert raw(server, "GET", "/health")[::2] == (200, {"status": "ok"})
    assert raw(server, "GET", "/health?now")[0] == 200


def test_errors_reach_the_client_as_its_own(client: Any, prompts: list[Prompt]) -> None:
    with pytest.raises(openai.NotFoundError, match="'gpt' does not exist; use 'pocket'") as unknown:
        ask(client, prompts[0], model="gpt")
    assert unknown.value.code == "model_not_found"
    context = PocketModel.load().context
    long = Prompt((), "word " * context)
    with pytest.raises(openai.BadRequestError, match=f"has {context + 1} tokens") as error:
        ask(client, long)
    assert error.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="stream: is not supported"):
        ask(client, prompts[0], stream=True)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{", None, "body: Invalid JSON"),
        (b"\xff", None, "body: Invalid JSON"),
        (b"[" * 50_000, None, "body: Invalid JSON"),
        ([], None, "body: "),
        ({"messages": user("a")}, "model", "model: Field required"),
        ({"model": "pocket"}, "messages", "messages: Field required"),
        ({"messages": []}, "messages", "messages: "),
        ({"messages": [{"role": "user"}]}, "messages", "messages.0.content: Field required"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages", "messages.0.role: "),
        ({"messages": user("a", "b")}, "messages", "messages: give turns of user and assistant"),
        ({"messages": user("a") * 2}, "messages", "messages: give turns of user and assistant"),
        ({"messages": user("a", "b", " \n ")}, "messages", "messages: the last line"),
        ({"n": 0}, "n", "n: "),
        ({"n": True}, "n", "n: "),
        ({"temperature": 2.5}, "temperature", "temperature: "),
        ({"temperature": float("nan")}, "temperature", "temperature: "),
        ({"max_tokens": 0}, "max_tokens", "max_tokens: "),
        ({"max_completion_tokens": "1"}, "max_completion_tokens", "max_completion_tokens: "),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "top_logprobs: "),
        ({"top_logprobs": 2}, "top_logprobs", "top_logprobs: needs logprobs = true"),
        ({"stream": True}, "stream", "stream: "),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    server: PocketServer, body: Any, param: str | None, message: str
) -> None:
    if isinstance(body, dict) and param not in ("model",) and body != {"model": "pocket"}:
        body = {"model": "pocket", "messages": user("a"), **body}
    status, answer = chat(server, body)
    assert status == 400
    assert set(answer) == {"error"}
    assert answer["error"]["message"].startswith(message)
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param
    assert answer["error"]["code"] is None


def test_addresses_and_methods_that_are_not_there(server: PocketServer) -> None:
    status, _, answer = raw(server, "GET", "/chat/completions")
    assert status == 404
    assert "there are /v1/chat/completions" in answer["error"]["message"]
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, headers, answer = raw(server, method, "/v1/chat/completions")
        assert (status, headers["Allow"]) == (405, "POST")
        assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert raw(server, "POST", "/health", b"{}")[:1] == (405,)
    assert raw(server, "HEAD", "/v1/models")[::2] == (405, None)
    assert raw(server, "BREW", "/v1/models")[0] == 501


def test_bodies_without_a_usable_length_are_refused(server: PocketServer) -> None:
    path = "/v1/chat/completions"
    too_long = {"Content-Length": str(BODY_LIMIT + 1)}
    for headers, status in [
        (too_long, 413),
        ({"Content-Length": "many"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ]:
        got, answered, answer = raw(server, "POST", path, b"", headers)
        assert (got, answered["Connection"]) == (status, "close")
        assert answer["error"]["message"]


def test_verbose_shows_a_line_without_any_text(
    prompts: list[Prompt], capsys: pytest.CaptureFixture[str]
) -> None:
    with PocketServer(verbose=True) as server:
        chat(server, {"model": "pocket", "messages": user("canary")})
        chat(server, {"model": "canary", "messages": user("canary")})
        with create_connection(server.server_address[:2]) as connection:
            connection.sendall(b"GET /%0a\x1b?canary HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n"
    # A line is written after its answer, so that of an earlier request may come later.
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.rsplit(" ", 2)[0] for line in lines) == [
        "GET /%0a\\x1b 404",
        "POST /v1/chat/completions 200",
        "POST /v1/chat/completions 404",
    ]


def test_silence_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    with PocketServer() as server:
        chat(server, {"model": "pocket", "messages": user("canary")})
        chat(server, b"canary")
        raw(server, "BREW", "/canary")
    assert capsys.readouterr() == ("", "")


def test_it_leaves_nothing_behind_while_connections_are_open(
    capsys: pytest.CaptureFixture[str], make_prompt: Callable[..., str]
) -> None:
    before = set(threading.enumerate())
    with PocketServer() as server:
        idle = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
        idle.request("GET", "/health")
        idle.getresponse().read()
        halfway = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
        halfway.putrequest("POST", "/v1/chat/completions")
        halfway.putheader("Content-Length", "100")
        halfway.endheaders(b"half")
    assert set(threading.enumerate()) <= before
    idle.close()
    halfway.close()
    with pytest.raises(ConnectionRefusedError):
        raw(server, "GET", "/health")
    assert capsys.readouterr().err == ""


def test_a_taken_port_is_an_error_of_the_system(server: PocketServer) -> None:
    with pytest.raises(OSError, match="in use"):
        PocketServer(port=urlsplit(server.url).port or 0)
