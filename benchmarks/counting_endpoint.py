"""An endpoint that counts what it is paid for, kills and goes away. Not a benchmark itself."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Endpoint"]


class Endpoint:
    """An endpoint in a process of its own that answers by the length of a prompt.

    It notes every request that it answers, kills a process at a request, and can go away and come
    back at the same address.
    """

    def __init__(self, folder: Path) -> None:
        self._paid = folder / "paid"
        self._shared = memoryview(mmap.mmap(-1, 4 * 8)).cast("q")
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._pid = 0
        self.reset()

    def reset(self) -> None:
        """Forget all requests."""
        self._paid.write_text("")
        self.count = 0
        self.aim()

    def aim(self, at: int = 0, how: int = 0) -> None:
        """Kill the process that announces itself at a request: arrived (0), half answered, done."""
        self._shared[1], self._shared[2], self._shared[3] = at, how, 0

    def announce(self) -> None:
        """Be the process that is to be killed."""
        self._shared[3] = os.getpid()

    @property
    def count(self) -> int:
        """Requests received."""
        return self._shared[0]

    @count.setter
    def count(self, value: int) -> None:
        self._shared[0] = value

    def paid(self) -> Counter[str]:
        """Requests answered, how often each."""
        return Counter(self._paid.read_text().split())

    def open(self) -> None:
        """Answer from now on."""
        self._pid = os.fork()
        if not self._pid:
            guard = threading.Lock()
            _Handler.shared, _Handler.guard = self._shared, guard
            _Handler.paid = os.open(self._paid, os.O_WRONLY | os.O_APPEND)
            self._server.serve_forever()

    def close(self) -> None:
        """Go away: connections are lost, and new ones refused."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._server.server_close()

    def forsake(self) -> None:
        """Hold its address no more, in a process that was forked off."""
        self._server.socket.close()

    def reopen(self) -> None:
        """Come back at the same address."""
        self._server = _Server(self._server.server_address, _Handler)
        self.open()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that are killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    shared: memoryview
    guard: threading.Lock
    paid: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.guard:
            self.shared[0] += 1
            mine = self.shared[0] == self.shared[1]
        how = self.shared[2] if mine else -1
        if how == 0:
            self._kill()
        reply = _answer(json.loads(body))
        os.write(self.paid, hashlib.sha256(body).hexdigest().encode() + b"\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(reply)}"
        whole = head.encode() + b"\r\n\r\n" + reply
        if how == 1:
            self.wfile.write(whole[: len(whole) // 2])
            self._kill()
        self.wfile.write(whole)
        if how == 2:
            self._kill()

    def _kill(self) -> None:
        if self.shared[3]:
            os.kill(self.shared[3], signal.SIGKILL)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def _answer(body: Mapping[str, Any]) -> bytes:
    """Return one of the two labels, surer of it the longer the prompt is."""
    text = "".join(turn["content"] for turn in body["messages"])
    sure = -0.01 * (1 + len(text) % 30)
    words = ["great", "terrible"] if len(text) % 2 else ["terrible", "great"]
    tops = [
        {"token": word, "logprob": value, "bytes": None}
        for word, value in zip(words, (sure, sure - 1.0), strict=True)
    ]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": words[0]},
        "logprobs": {"content": [{**tops[0], "top_logprobs": tops}]},
    }
    usage = {"prompt_tokens": len(text) // 4, "completion_tokens": 1, "total_tokens": 0}
    frame = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return json.dumps({**frame, "choices": [choice], "usage": usage}).encode()
