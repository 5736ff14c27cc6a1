"""The HTTP side of an OpenAI-compatible endpoint: routes, bodies, messages and errors."""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from asyndbt._loopback import LoopbackServer, response

BODY_LIMIT: Final = 2**20
"""Largest body of a request, bytes; far more than the longest prompt."""
_CHAT: Final = "/v1/chat/completions"
_ROUTES: Final = {_CHAT: "POST", "/v1/models": "GET", "/health": "GET"}
_Request = TypeVar("_Request", bound=BaseModel)


class ChatError(Exception):
    """A request that is answered with an OpenAI error object.

    Parameters
    ----------
    status : int
        HTTP status.
    message : str
        The error and its remedy.
    param : str or None
        Invalid field of the request.
    code : str or None
        Identifier of the error for programs.
    headers : mapping of str to str, optional
        Further headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The error as JSON."""
        kind = "api_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == HTTPStatus.TOO_MANY_REQUESTS else kind
        parts = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": parts}


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message of a chat, of text alone."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    @property
    def text(self) -> str:
        """Its content."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


def parse_body(kind: type[_Request], body: bytes) -> _Request:
    """Parse and check the body of a request.

    Raises
    ------
    ChatError
        If it is not JSON, or a field is missing or out of range.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ChatError(
            HTTPStatus.BAD_REQUEST,
            f"{where or 'body'}: {first['msg']}",
            param=str(first["loc"][0]) if first["loc"] else None,
        ) from None


def check_model(asked: str, known: Sequence[str]) -> None:
    """Raise ChatError if a request names a model that is not served."""
    if asked not in known:
        use = " or ".join(map(repr, known))
        raise ChatError(
            HTTPStatus.NOT_FOUND,
            f"the model {asked!r} does not exist; use {use}",
            param="model",
            code="model_not_found",
        )


def completion(model: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the response to a chat request, without its usage."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": list(choices),
    }


class ChatServer(LoopbackServer, ABC):
    """An OpenAI-compatible endpoint.

    Parameters
    ----------
    host : str
    port : int
        0 chooses a free one.
    verbose : bool
        Whether to write a line per request to stderr: method, path, status, time; never texts.

    Raises
    ------
    OSError
        If the address cannot be bound.
    """

    def __init__(self, host: str, port: int, *, verbose: bool = False) -> None:
        self.verbose = verbose
        super().__init__(host, port, _Handler)

    @property
    @abstractmethod
    def models(self) -> Sequence[str]:
        """Names of the models that are served."""

    @abstractmethod
    def complete(self, body: bytes) -> dict[str, Any] | list[dict[str, Any]]:
        """Return the response to the body of a chat request, or the chunks of a stream.

        Raises
        ------
        ChatError
            If the request cannot be answered.
        """


class _Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ChatServer

    def _handle(self) -> None:
        started = time.perf_counter()
        path = self.path.partition("?")[0]
        try:
            status, content, headers = 200, self._answer(path), {}
        except ChatError as error:
            status, content, headers = error.status, error.body, error.headers
        except ConnectionError:
            raise
        except Exception:
            traceback.print_exc()
            failed = ChatError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed")
            status, content, headers = failed.status, failed.body, failed.headers
        self._send(status, content, headers)
        if self.server.verbose:
            shown = path.encode("unicode_escape").decode("ascii")
            milliseconds = 1000 * (time.perf_counter() - started)
            print(
                f"{self.command} {shown} {status} {milliseconds:.0f} ms\n", end="", file=sys.stderr
            )

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle  # noqa: N815

    def _answer(self, path: str) -> dict[str, Any] | list[dict[str, Any]]:
        body = self._body()
        if "Origin" in self.headers:
            # Any page may send requests to this machine, and answers may cost money.
            raise ChatError(HTTPStatus.FORBIDDEN, "pages in a browser are not served")
        method = _ROUTES.get(path)
        if method is None:
            known = ", ".join(_ROUTES)
            raise ChatError(HTTPStatus.NOT_FOUND, f"unknown address; there are {known}")
        if self.command != method:
            allow = {"Allow": method}
            message = f"{path} takes {method} only"
            raise ChatError(HTTPStatus.METHOD_NOT_ALLOWED, message, headers=allow)
        if path == _CHAT:
            return self.server.complete(body)
        if path == "/health":
            return {"status": "ok"}
        about = {"object": "model", "created": 0, "owned_by": "asyndbt"}
        return {"object": "list", "data": [{"id": name, **about} for name in self.server.models]}

    def _body(self) -> bytes:
        """Read the whole body, so that the connection can carry another request."""
        length = self.headers.get("Content-Length", "0")
        problem: tuple[int, str] | None = None
        if "Transfer-Encoding" in self.headers:
            problem = HTTPStatus.LENGTH_REQUIRED, "send the body whole, with a Content-Length"
        elif not re.fullmatch(r"[0-9]{1,15}", length):
            problem = HTTPStatus.BAD_REQUEST, "Content-Length is not a number of bytes"
        elif int(length) > BODY_LIMIT:
            problem = (
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body has {length} bytes; {BODY_LIMIT} are accepted",
            )
        if problem is not None:
            self.close_connection = True
            raise ChatError(*problem)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        return body

    def _send(
        self,
        status: int,
        content: dict[str, Any] | list[dict[str, Any]],
        headers: Mapping[str, str],
    ) -> None:
        kind = "text/event-stream" if isinstance(content, list) else "application/json"
        closing = {"Connection": "close"} if self.close_connection else {}
        headers = {"Content-Type": kind, **headers, **closing}
        whole = response(status, b"".join(_written(content)), headers)
        if self.command == "HEAD":
            whole = whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.wfile.write(whole)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP, or an unknown method, with an OpenAI error object."""
        self.close_connection = True
        self._send(code, ChatError(code, message or HTTPStatus(code).phrase).body, {})

    def log_message(self, *_: object) -> None:
        """Write nothing, since a request line may hold any text."""


def _written(content: dict[str, Any] | list[dict[str, Any]]) -> Iterator[bytes]:
    """Return JSON, or the events of a stream."""
    if isinstance(content, dict):
        yield json.dumps(content).encode()
        return
    for data in [*map(json.dumps, content), "[DONE]"]:
        yield f"data: {data}\n\n".encode()
