"""`FaultServer`: a scripted chat endpoint on loopback, with everything that goes wrong in practice.

>>> with FaultServer([failure(503), completion("great")]) as server:
...     server.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socket import MSG_PEEK, SO_LINGER, SOL_SOCKET
from typing import Any, Final, Literal

from asyndbt._loopback import LoopbackServer, response

__all__ = [
    "FaultServer",
    "Reply",
    "Request",
    "Script",
    "broken_json",
    "completion",
    "failure",
    "filtered",
    "html",
    "no_choices",
    "refused_content",
    "reset",
    "reset_midway",
    "timeout",
    "wrong_shape",
]

_CHAT: Final = "/v1/chat/completions"
_JSON: Final = {"Content-Type": "application/json"}
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""A linger of 0 seconds: closing sends RST."""


@dataclass(frozen=True)
class Reply:
    """What the server does with one request.

    Attributes
    ----------
    status : int
    body : bytes
    headers : mapping of str to str
    delay : float
        Seconds that the request is held before the first byte.
    sends : "all", "half" or "nothing"
        How much of it is sent; after less than all, the connection is reset.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_JSON))
    delay: float = 0.0
    sends: Literal["all", "half", "nothing"] = "all"


@dataclass
class Request:
    """What the server was sent.

    Attributes
    ----------
    number : int
        Counted from 0.
    body : Any
        Parsed JSON; None where it is not JSON.
    headers : dict of str to str
        Names in lower case.
    sent : bool
        Whether the whole reply went to a client that was still there; final as soon as a client
        has the reply, or else when the server is closed.
    """

    number: int
    body: Any
    headers: dict[str, str]
    sent: bool = False


Script = Callable[[int, Request], Reply] | Sequence[Reply]
"""A reply to every request by its number, or replies in the order of the requests."""


def completion(
    content: str | None,
    *,
    logprobs: Sequence[Mapping[str, float]] | None = None,
    usage: tuple[int, int] | None = (10, 1),
    finish_reason: str = "stop",
    delay: float = 0.0,
    **message: Any,
) -> Reply:
    """Answer as usual.

    Parameters
    ----------
    content : str or None
    logprobs : sequence of mapping of str to float, optional
        Per position the tokens with their log-probabilities, the answered one first.
    usage : (int, int) or None
        Tokens of prompt and answer; None leaves the usage out.
    finish_reason : str
    delay : float
        Seconds.
    **message
        Further fields of the message, such as ``refusal``.
    """
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    if logprobs is not None:
        choice["logprobs"] = {"content": [_position(tokens) for tokens in logprobs]}
    return _completion([choice], usage, delay)


def failure(
    status: int,
    message: str = "scripted failure",
    *,
    code: str | None = None,
    kind: str = "scripted_error",
    delay: float = 0.0,
    **headers: str,
) -> Reply:
    """Answer with an error in OpenAI's shape; ``retry_after="2"`` is the header Retry-After."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"error": error}).encode(), {**_JSON, **named}, delay)


def refused_content() -> Reply:
    """Answer 400: the prompt is against the provider's content rules."""
    return failure(400, "the prompt was filtered", code="content_filter", kind="content_filter")


def filtered(usage: tuple[int, int] | None = (10, 0)) -> Reply:
    """Answer 200, but the answer was cut by a content filter."""
    return completion(None, usage=usage, finish_reason="content_filter")


def no_choices(usage: tuple[int, int] | None = (10, 0)) -> Reply:
    """Answer 200 with an empty list of choices."""
    return _completion([], usage, 0.0)


def timeout(seconds: float) -> Reply:
    """Hold the request so long, then reset the connection."""
    return Reply(delay=seconds, sends="nothing")


def reset() -> Reply:
    """Reset the connection before any byte."""
    return Reply(sends="nothing")


def reset_midway() -> Reply:
    """Send the headers and half of a good body, then reset the connection."""
    whole = completion("great")
    return Reply(body=whole.body, sends="half")


def broken_json() -> Reply:
    """Answer 200 with JSON that ends too early."""
    return Reply(body=completion("great").body[:-10])


def html() -> Reply:
    """Answer 200 with a web page, as a captive portal does."""
    return Reply(
        body=b"<html><body>Please log in.</body></html>", headers={"Content-Type": "text/html"}
    )


def wrong_shape() -> Reply:
    """Answer 200 with JSON that is no completion."""
    return Reply(body=b'{"choices": [{"text": 3}]}')


def _completion(choices: Any, usage: tuple[int, int] | None, delay: float) -> Reply:
    content: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": choices,
    }
    if usage is not None:
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        content["usage"] = dict(zip(names, (*usage, sum(usage)), strict=True))
    return Reply(body=json.dumps(content).encode(), delay=delay)


def _position(tokens: Mapping[str, float]) -> dict[str, Any]:
    entries = [
        {"token": token, "logprob": value, "bytes": list(token.encode())}
        for token, value in tokens.items()
    ]
    return {**entries[0], "top_logprobs": sorted(entries, key=lambda entry: -entry["logprob"])}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _bytes(reply: Reply) -> bytes:
    return response(reply.status, reply.body, reply.headers)


class FaultServer(LoopbackServer):
    """A chat endpoint that answers by script and remembers what it was asked.

    Closing it takes no longer than a poll, also while a reply is being held.  A script that has
    no reply to a request, or fails, is answered with status 400 and the reason.

    Parameters
    ----------
    reply : Script

    Attributes
    ----------
    requests : list of Request
        Every chat request, in the order of arrival.
    peak : int
        Most requests that were being answered at the same time.
    """

    def __init__(self, reply: Script) -> None:
        super().__init__("127.0.0.1", 0, _Handler)
        self._reply = reply
        self._in_flight = 0
        self.requests: list[Request] = []
        self.peak = 0

    @property
    def count(self) -> int:
        """Chat requests received so far."""
        return len(self.requests)

    def enter(self, body: Any, headers: dict[str, str]) -> Request:
        """Record a request that has arrived."""
        with self._guard:
            request = Request(len(self.requests), body, headers)
            self.requests.append(request)
            self._in_flight += 1
            self.peak = max(self.peak, self._in_flight)
        return request

    def leave(self, request: Request, sent: bool) -> None:
        """Record that a request is done with."""
        with self._guard:
            request.sent = sent
            self._in_flight -= 1

    def reply_to(self, request: Request) -> Reply:
        """Look the reply up."""
        try:
            if callable(self._reply):
                return self._reply(request.number, request)
            return self._reply[request.number]
        except Exception as error:
            return failure(400, f"no reply to request {request.number} in the script: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != _CHAT:
            self.wfile.write(_bytes(failure(404, f"there is only {_CHAT}")))
            return
        request = self.server.enter(_parsed(body), {k.lower(): v for k, v in self.headers.items()})
        sent = False
        reply = self.server.reply_to(request)
        whole = _bytes(reply)
        # All but the last byte, so that the record is complete when the client goes on.
        ends = {"all": len(whole) - 1, "half": len(whole) - len(reply.body) // 2, "nothing": 0}
        try:
            if self._hold(reply.delay):
                self.wfile.write(whole[: ends[reply.sends]])
                sent = reply.sends == "all"
        finally:
            self.server.leave(request, sent)
        if sent:
            self.wfile.write(whole[-1:])
        else:
            self._reset()

    def _hold(self, seconds: float) -> bool:
        """Wait, and say whether the client is still there; the end of the server is its leaving."""
        self.connection.settimeout(seconds)
        try:
            return bool(self.connection.recv(1, MSG_PEEK))
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionError:
            return False
        finally:
            self.connection.settimeout(None)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(SOL_SOCKET, SO_LINGER, _AT_ONCE)
        self.rfile.close()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Write nothing."""
