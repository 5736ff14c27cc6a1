"""The page of a running run, served on this machine and built at every request."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from asyndbt.errors import AsyndbtError
from asyndbt.report._html import paragraph
from asyndbt.report._page import build_page, document

_RELOAD_SECONDS = 3


def serve_page(directory: Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the report, bound to 127.0.0.1 (port 0: any free one) and not yet started.

    Raises
    ------
    RunDirectoryError
        If neither a run nor a study is recorded there.
    OSError
        If the port is taken.
    """
    build_page(directory)
    return ThreadingHTTPServer(("127.0.0.1", port), _handler(directory))


def _page(directory: Path) -> str:
    """Return the page, or one with the error: a file may be incomplete at this moment."""
    try:
        return build_page(directory, reload_seconds=_RELOAD_SECONDS)
    except (AsyndbtError, OSError) as error:
        return document("Report", paragraph(str(error)), _RELOAD_SECONDS)


def _handler(directory: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Serves the page alone, and only under this machine's own names."""

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rsplit(":", 1)[0]
            if host not in ("127.0.0.1", "localhost"):
                self.send_error(403, "this page is for this machine only")
            elif self.path != "/":
                self.send_error(404)
            else:
                content = _page(directory).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log nothing."""

    return Handler
