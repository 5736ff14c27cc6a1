"""A run's prompts behind OpenAI's protocol, asked by OpenAI's own client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from asyndbt import tune
from asyndbt._chat_server import ChatError
from asyndbt.cli import main
from asyndbt.errors import RateLimitError
from asyndbt.lm import Answer, Prompt, Usage
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.pocket import TASKS, PocketServer, dataset
from asyndbt.run import Result
from asyndbt.serving import PromptServer

openai = pytest.importorskip("openai")

POCKET = TASKS["sentiment-consumer"]
SITES = ("meals", "movies")


def tuned(
    folder: Path, instruction: str, lm: Mapping[str, Any] | None = None, **data: Any
) -> Result:
    counts = dict.fromkeys([(site, label) for site in SITES for label in POCKET.labels], 12)
    rows = []
    for row in dataset(POCKET.name, "train"):
        key = (row["site"], row["label"])
        if counts.get(key):
            counts[key] -= 1
            rows.append({**row, "where": row["site"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return tune(
            task={"instruction": instruction, "labels": dict(POCKET.labels)},
            data={"train": rows, "site_column": "site", "pool_per_class": 4, **data},
            method={"mode": "demonstrations", "draws": 2, "batch_size": 1, "iterations": 1},
            budget={"calls": 60},
            lm=lm or {},
            run={"dir": str(folder / "run")},
        )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return tuned(tmp_path_factory.mktemp("one"), POCKET.instruction)


@pytest.fixture(scope="module")
def server(result: Result) -> Iterator[PromptServer]:
    with PromptServer(result) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: PromptServer) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def ask(client: Any, text: Any, model: str = "meals", **fields: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, **fields)


def test_the_label_is_what_predict_says_under_the_sites_prompt(client: Any, result: Result) -> None:
    texts = [row["text_a"] for row in dataset(POCKET.name, "test")[:4]]
    for site in SITES:
        predicted = result.predict([{"text_a": text} for text in texts], site)
        answers = [ask(client, text, site, temperature=0.7).choices[0] for text in texts]
        assert [a.message.content for a in answers] == [row["prediction"] for row in predicted]
        assert {(a.message.role, a.finish_reason) for a in answers} == {("assistant", "stop")}


def test_the_sites_are_the_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == list(SITES)
    with pytest.raises(openai.NotFoundError, match="'moon' does not exist; use 'meals' or"):
        ask(client, "fine", "moon")


def test_a_stream_has_the_same_answer(client: Any) -> None:
    text = "the soup was superb"
    whole = ask(client, text).choices[0].message.content
    chunks = list(ask(client, text, stream=True))
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"messages": [{"role": "system", "content": "x"}]}, "give one message, the user's"),
        ({"messages": [{"role": "user", "content": " "}]}, "the text is empty"),
        ({"messages": [{"role": "user", "content": "so " * 3000}]}, "the longest prompt has"),
        ({"n": 2}, "n: Input should be less than or equal to 1"),
    ],
)
def test_what_cannot_be_labelled_is_refused(client: Any, fields: Any, message: str) -> None:
    request = {"model": "meals", "messages": [{"role": "user", "content": "x"}], **fields}
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.chat.completions.create(**request)
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(None, None, Usage(calls=1), "not nice"), "InternalServerError", "not nice"),
        (Answer((-float("inf"),) * 2, None, Usage(1)), "UnprocessableEntityError", "no label"),
        (RateLimitError("slow down", provider="pocket"), "RateLimitError", "slow down"),
    ],
)
def test_what_the_model_leaves_open_is_an_error_of_its_kind(
    client: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, kind: str, message: str
) -> None:
    async def score(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        if isinstance(answer, Exception):
            raise answer
        return [answer for _ in prompts]

    monkeypatch.setattr(PocketLanguageModel, "score", score)
    with pytest.raises(getattr(openai, kind), match=message):
        ask(client, f"for an error of kind {kind}")


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "7200"}])
def test_a_rate_limit_of_the_runs_endpoint_is_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    with PocketServer() as endpoint:
        lm = {"provider": "openai", "base_url": endpoint.url, "model": "pocket", "max_retries": 0}
        result = tuned(tmp_path, POCKET.instruction, lm)

        def limited(server: PocketServer, body: bytes) -> dict[str, Any]:
            raise ChatError(429, "slow down", headers=headers)

        monkeypatch.setattr(PocketServer, "complete", limited)
        with (
            PromptServer(result) as server,
            openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
            pytest.raises(openai.RateLimitError) as caught,
        ):
            ask(client, "the soup was superb")
        assert caught.value.type == "rate_limit_error"


def test_a_broken_file_of_the_run_is_not_the_clients_fault(tmp_path: Path) -> None:
    result = tuned(tmp_path, POCKET.instruction)
    prompt = result.directory / "sites" / "movies" / "prompt.json"
    with (
        PromptServer(result) as server,
        openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        (result.directory / "sites" / "meals" / "predictions.sqlite").write_text("no database")
        with pytest.raises(openai.InternalServerError, match="answer cache") as caught:
            ask(client, "the soup was superb")
        assert (caught.value.status_code, caught.value.type) == (500, "api_error")
        prompt.write_text("no JSON")
        with pytest.raises(openai.InternalServerError, match=r"prompt\.json: not JSON"):
            ask(client, "the soup was superb", "movies")


def test_several_fields_come_as_an_object(tmp_path: Path) -> None:
    question = 'In {place}, how does "{text_a}" feel?'
    result = tuned(tmp_path, question, columns={"place": "where"})
    row = {"text_a": "the soup was superb", "where": "meals"}
    (predicted,) = result.predict([row], "meals")
    with (
        PromptServer(result) as server,
        openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        answer = ask(client, json.dumps(row))
        assert answer.choices[0].message.content == predicted["prediction"]
        for text in ("the soup", '{"text_a": "the soup"}', "[]", "[" * 100_000):
            with pytest.raises(openai.BadRequestError, match="texts of 'where', 'text_a'"):
                ask(client, text)


def test_pages_in_a_browser_ask_nothing(
    server: PromptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PocketLanguageModel, "score", None)
    body = {"model": "meals", "messages": [{"role": "user", "content": "never asked"}]}
    request = Request(
        f"{server.url}/chat/completions", json.dumps(body).encode(), {"Origin": "http://page"}
    )
    with pytest.raises(HTTPError, match="403"):
        urlopen(request, timeout=30)


COMMAND = (
    "import signal, sys; from asyndbt.cli import main; "
    # A shell that starts the tests in the background has this signal ignored.
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_command_serves_until_ctrl_c(result: Result) -> None:
    argv = [sys.executable, "-c", COMMAND, "serve", str(result.directory), "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address, _, models = process.stdout.readline().partition(" ")
            assert models.endswith("Models: meals, movies\n")
            with urlopen(f"{address}/models", timeout=60) as reply:
                assert len(json.load(reply)["data"]) == 2
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_an_address_that_is_taken_is_named(
    server: PromptServer, result: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(server.server_address[1])
    assert main(["serve", str(result.directory), "--port", port]) == 1
    assert f"--host 127.0.0.1 --port {port}: " in capsys.readouterr().err


def test_an_address_that_others_reach_is_warned_of(
    result: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address is kept for examples, so it is nobody's."""
    argv = ["serve", str(result.directory), "--host", "203.0.113.1", "--port", "0"]
    assert main(argv) == 1
    assert "asks the language model, at your cost" in capsys.readouterr().err
