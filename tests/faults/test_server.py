from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.faults import server as faults
from tests.faults.server import FaultServer, Reply, Request, completion, failure

HOLD = 600.0
"""Seconds that no test waits for."""


@contextmanager
def connected(server: FaultServer) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: HTTPConnection, body: Any = None) -> tuple[HTTPResponse, bytes]:
    headers = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
    data = json.dumps(body if body is not None else {"model": "m"})
    connection.request("POST", "/v1/chat/completions", data, headers)
    reply = connection.getresponse()
    return reply, reply.read()


def send(server: FaultServer) -> HTTPConnection:
    """Send a request and go on when it has arrived, without waiting for the reply."""
    number = server.count
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    connection.request("POST", "/v1/chat/completions", "{}")
    while server.count == number:
        time.sleep(0.001)
    return connection


def answer(reply: Reply) -> tuple[int, Any, bytes]:
    """Status, headers and body that a client gets; the server thinks so, too."""
    with FaultServer([reply]) as server, connected(server) as connection:
        got, body = post(connection)
        assert server.requests[0].sent
        assert server.peak == server.count == 1
    return got.status, got.headers, body


def test_a_completion_has_what_it_was_given() -> None:
    reply = completion(
        "great",
        logprobs=[{"great": -0.5, "terrible": -0.25}, {".": -0.125}],
        usage=(12, 2),
        finish_reason="length",
        refusal="no",
    )
    status, headers, body = answer(reply)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    content = json.loads(body)
    (choice,) = content["choices"]
    assert choice["message"] == {"role": "assistant", "content": "great", "refusal": "no"}
    assert choice["finish_reason"] == "length"
    first, second = choice["logprobs"]["content"]
    assert (first["token"], first["logprob"], second["token"]) == ("great", -0.5, ".")
    assert [entry["token"] for entry in first["top_logprobs"]] == ["terrible", "great"]
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
    assert content["usage"] == usage


def test_logprobs_and_usage_may_be_missing() -> None:
    content = json.loads(answer(completion("great", usage=None))[2])
    assert content["choices"][0]["logprobs"] is None
    assert "usage" not in content


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 503])
def test_failures_have_status_headers_and_openai_s_shape(status: int) -> None:
    reply = failure(status, "no", code="why", kind="sort", retry_after="2", x_request_id="r")
    got, headers, body = answer(reply)
    assert got == status
    assert (headers["Retry-After"], headers["X-Request-Id"]) == ("2", "r")
    error = {"message": "no", "type": "sort", "param": None, "code": "why"}
    assert json.loads(body) == {"error": error}
    assert "Retry-After" not in answer(failure(status))[1]


def test_content_filters() -> None:
    status, _, body = answer(faults.refused_content())
    assert (status, json.loads(body)["error"]["code"]) == (400, "content_filter")
    status, _, body = answer(faults.filtered())
    (choice,) = json.loads(body)["choices"]
    assert (status, choice["finish_reason"]) == (200, "content_filter")
    assert choice["message"]["content"] is None


def test_answers_that_are_no_completion() -> None:
    status, _, body = answer(faults.no_choices())
    assert (status, json.loads(body)["choices"]) == (200, [])
    status, headers, body = answer(faults.broken_json())
    assert (status, headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    status, headers, body = answer(faults.html())
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert body.startswith(b"<html>")
    status, _, body = answer(faults.wrong_shape())
    assert status == 200
    assert "message" not in json.loads(body)["choices"][0]


def test_a_reset_before_any_byte() -> None:
    with FaultServer([faults.reset(), completion("great")]) as server:
        with connected(server) as connection, pytest.raises(ConnectionResetError):
            post(connection)
        with connected(server) as connection:
            assert post(connection)[0].status == 200
    assert [request.sent for request in server.requests] == [False, True]


def test_a_reset_in_mid_body() -> None:
    with FaultServer([faults.reset_midway()]) as server, connected(server) as connection:
        connection.request("POST", "/v1/chat/completions", "{}")
        reply = connection.getresponse()
        assert reply.status == 200
        assert int(reply.headers["Content-Length"]) == len(completion("great").body)
        with pytest.raises((ConnectionResetError, IncompleteRead)):
            reply.read()
    assert [request.sent for request in server.requests] == [False]


def test_a_held_request_ends_in_a_reset() -> None:
    with (
        FaultServer([faults.timeout(0.01)]) as server,
        connected(server) as connection,
        pytest.raises(ConnectionResetError),
    ):
        post(connection)
    assert not server.requests[0].sent


@pytest.mark.parametrize("reply", [faults.timeout(HOLD), completion("late", delay=HOLD)])
def test_closing_does_not_wait_for_what_is_held(
    reply: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    with FaultServer([reply] * 2) as server:
        connections = [send(server), send(server)]
    # To come here at all is the test; nothing else may be left either.
    assert set(threading.enumerate()) <= before
    assert [request.sent for request in server.requests] == [False, False]
    for connection in connections:
        connection.close()
    assert capsys.readouterr() == ("", "")


def test_a_reply_to_a_client_that_left_was_not_sent() -> None:
    with FaultServer([completion("late", delay=HOLD), completion("next")]) as server:
        send(server).close()
        with connected(server) as connection:
            post(connection)
    assert [request.sent for request in server.requests] == [False, True]


def test_a_delayed_reply_arrives() -> None:
    reply = completion("late", delay=0.01)
    assert answer(reply)[2] == reply.body


def test_requests_are_recorded_in_order_with_body_and_key() -> None:
    asked: list[int] = []

    def script(number: int, request: Request) -> Reply:
        asked.append(number)
        return completion(request.body["say"])

    with FaultServer(script) as server, connected(server) as connection:
        said = [json.loads(post(connection, {"say": word})[1]) for word in ("one", "two")]
    assert [content["choices"][0]["message"]["content"] for content in said] == ["one", "two"]
    assert asked == [request.number for request in server.requests] == [0, 1]
    assert [request.body for request in server.requests] == [{"say": "one"}, {"say": "two"}]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer secret"}
    assert (server.count, server.peak) == (2, 1)


def test_the_peak_counts_what_is_under_way_together() -> None:
    together = threading.Barrier(8)

    def script(number: int, request: Request) -> Reply:
        if number < 8:
            together.wait(120)
        return completion("great")

    def ask(_: int) -> int:
        with connected(server) as connection:
            return post(connection)[0].status

    with FaultServer(script) as server:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(8))) == {200}
        ask(0)
    assert (server.peak, server.count) == (8, 9)


def test_a_script_without_a_reply_says_so() -> None:
    def broken(number: int, request: Request) -> Reply:
        raise KeyError("missing")

    for script, text in (([], "no reply to request 0"), (broken, "KeyError('missing')")):
        with FaultServer(script) as server, connected(server) as connection:
            reply, body = post(connection)
        assert reply.status == 400
        assert text in json.loads(body)["error"]["message"]


def test_other_addresses_are_not_scripted() -> None:
    with FaultServer([]) as server, connected(server) as connection:
        connection.request("POST", "/chat/completions", "{}")
        assert connection.getresponse().status == 404
    assert server.count == 0
