"""The pocket model as an OpenAI-compatible HTTP server, to try clients without a key."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from asyndbt.pocket._chat import MODEL_NAME, ChatError, completion, parse_request
from asyndbt.pocket._loopback import LoopbackServer, response
from asyndbt.pocket._model import PocketModel

BODY_LIMIT: Final = 2**20
"""Largest body of a request, bytes; far more than the longest prompt."""
_CHAT: Final = "/v1/chat/completions"
_ROUTES: Final = {_CHAT: "POST", "/v1/models": "GET", "/health": "GET"}


class PocketServer(LoopbackServer):
    """The pocket model as an OpenAI-compatible endpoint.

    Parameters
    ----------
    host : str
    port : int
        0 chooses a free one.
    verbose : bool
        Whether to write a line per request to stderr: method, path, status, time; never texts.

    Attributes
    ----------
    requests : int
        Chat requests received, refused ones included.

    Raises
    ------
    OSError
        If the address cannot be bound.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> with PocketServer() as server, urlopen(f"{server.url}/models") as reply:
    ...     json.load(reply)["data"][0]["id"]
    'pocket'
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self.requests = 0
        self.model = PocketModel.load()
        self.batches = _Batches(self.model)
        super().__init__(host, port, _Handler)

    def __enter__(self) -> Self:
        self.batches.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.batches.stop()

    def complete(self, body: bytes) -> dict[str, Any]:
        """Return the response to the body of a chat request.

        Raises
        ------
        ChatError
            If the request is invalid, or the prompt is longer than the context.
        """
        with self._guard:
            self.requests += 1
        request = parse_request(body)
        text = request.text
        tokens = self.model.count_tokens(text)
        if tokens > self.model.context:
            raise ChatError(
                HTTPStatus.BAD_REQUEST,
                f"the prompt has {tokens} tokens and the pocket model reads at most "
                f"{self.model.context}; use fewer demonstrations or shorter texts",
                param="messages",
                code="context_length_exceeded",
            )
        return completion(request, self.model.words, self.batches.ask(text), tokens)


class _Batches(threading.Thread):
    """Batches all prompts that wait at the same moment.

    The model is faster on many prompts at once, and an answer does not depend on the others.
    """

    def __init__(self, model: PocketModel) -> None:
        super().__init__()
        self._model = model
        self._waiting: SimpleQueue[tuple[str, Future[NDArray[np.float64]]] | None] = SimpleQueue()

    def ask(self, text: str) -> NDArray[np.float64]:
        """Log-probabilities [words] of the next word of a prompt."""
        answer: Future[NDArray[np.float64]] = Future()
        self._waiting.put((text, answer))
        return answer.result()

    def stop(self) -> None:
        """End the thread; no prompt may be waiting."""
        self._waiting.put(None)
        self.join()

    def run(self) -> None:
        """Answer until `stop`."""
        while batch := self._gather():
            texts, answers = zip(*batch, strict=True)
            try:
                rows = self._model.next_word_log_probabilities(texts)
            except Exception as error:
                for answer in answers:
                    answer.set_exception(error)
            else:
                for answer, row in zip(answers, rows, strict=True):
                    answer.set_result(row)

    def _gather(self) -> list[tuple[str, Future[NDArray[np.float64]]]]:
        """Wait for a prompt, and return all that wait by then; an empty list is the end."""
        taken = [self._waiting.get()]
        while not self._waiting.empty():
            taken.append(self._waiting.get())
        return [asked for asked in taken if asked is not None]


class _Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: PocketServer

    def _handle(self) -> None:
        started = time.perf_counter()
        path = self.path.partition("?")[0]
        try:
            status, content, headers = 200, self._answer(path), {}
        except ChatError as error:
            status, content, headers = error.status, error.body, error.headers
        self._send(status, content, headers)
        if self.server.verbose:
            shown = path.encode("unicode_escape").decode("ascii")
            milliseconds = 1000 * (time.perf_counter() - started)
            print(
                f"{self.command} {shown} {status} {milliseconds:.0f} ms\n", end="", file=sys.stderr
            )

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle  # noqa: N815

    def _answer(self, path: str) -> dict[str, Any]:
        body = self._body()
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
        model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "asyndbt"}
        return {"object": "list", "data": [model]}

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

    def _send(self, status: int, content: dict[str, Any], headers: Mapping[str, str]) -> None:
        closing = {"Connection": "close"} if self.close_connection else {}
        headers = {"Content-Type": "application/json", **headers, **closing}
        whole = response(status, json.dumps(content).encode(), headers)
        if self.command == "HEAD":
            whole = whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.wfile.write(whole)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP, or an unknown method, with an OpenAI error object."""
        self.close_connection = True
        self._send(code, ChatError(code, message or HTTPStatus(code).phrase).body, {})

    def log_message(self, *_: object) -> None:
        """Write nothing, since a request line may hold any text."""
