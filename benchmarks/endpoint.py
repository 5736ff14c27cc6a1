"""An endpoint that gives every request the same answer. Not a benchmark itself."""

from __future__ import annotations

__all__ = ["SERVER"]

SERVER = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
delay = float(sys.argv[1])
tops = [{"token": t, "logprob": p, "bytes": None} for t, p in (("great", -0.1), ("terrible", -2.4))]
body = json.dumps({
    "id": "1", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "great"},
        "logprobs": {"content": [{**tops[0], "top_logprobs": tops}]}}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41}}).encode()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if delay:
            time.sleep(delay)
        head = "HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: "
        self.wfile.write(f"{head}{len(body)}\\r\\n\\r\\n".encode() + body)
    def log_message(self, *args):
        pass
class Server(ThreadingHTTPServer):
    request_queue_size = 256
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""Program for `python -c`: takes the seconds that an answer takes, prints the port it has."""
