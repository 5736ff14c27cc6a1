"""`LoopbackServer`: base of the small HTTP servers of this project."""

from __future__ import annotations

import socketserver
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any, Final, Self

_POLL_SECONDS: Final = 0.05


def response(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a whole HTTP response as bytes; the length is added to the headers."""
    lines = [f"HTTP/1.1 {int(status)} {responses.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


class LoopbackServer(ThreadingHTTPServer):
    """A threaded HTTP server that is a context manager and leaves no thread or socket behind.

    It listens from construction on and answers inside ``with``; at the end it closes every
    connection, even a busy one, and waits for all its threads.

    Parameters
    ----------
    host : str
    port : int
        0 chooses a free one.
    handler : type
        Handles the requests of a connection.

    Raises
    ------
    OSError
        If the address cannot be bound.
    """

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket] = set()
        self._guard = threading.Lock()
        super().__init__((host, port), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,))

    @property
    def url(self) -> str:
        """Base address for clients, such as ``http://127.0.0.1:8000/v1``."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        with self._guard:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)
        self.server_close()

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a new connection in a thread."""
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, unless the client has closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
