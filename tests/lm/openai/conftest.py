"""An endpoint on this machine that answers by script, and what stands behind it."""

import asyncio
import json
import math
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from asyndbt.lm import AnswerCache, Budget, Gateway, Limits, Prompt, RetryPolicy
from asyndbt.lm.providers.openai import OpenAILanguageModel

KEY = "sk-proj-Zq3vX8canary0017Lw5TbYh2"


@dataclass
class Reply:
    """What an endpoint sends; `fault` is one of the ways to send no whole reply."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""


class Endpoint:
    """A server in a thread; `asked` are the bodies received, `headers` and `path` of the last.

    It calls `held` when it has a request to which it will not reply.
    """

    def __init__(self, script: Callable[[dict[str, Any]], Any]) -> None:
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.path = ""
        self.held: Callable[[], None] = lambda: None
        endpoint, self._stopping = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.path = self.path
                endpoint.headers = {name.lower(): each for name, each in self.headers.items()}
                endpoint.asked.append(json.loads(raw))
                said = endpoint.script(endpoint.asked[-1])
                self.send(said if isinstance(said, Reply) else Reply(said))

            def send(self, reply: Reply) -> None:
                if reply.fault == "slow":
                    endpoint.held()
                    endpoint._stopping.wait()
                if reply.fault in ("reset", "slow"):
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    return
                text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                data = text.encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data) * (1 + (reply.fault == "cut"))))
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = reply.fault == "cut"

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 512

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def pieces(text: str) -> list[str]:
    """Tokens of four characters."""
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def token(piece: str, probability: float, others: dict[str, float], top: int) -> dict[str, Any]:
    """One entry of a reply's log-probabilities."""

    def entry(each: str, chance: float) -> dict[str, Any]:
        return {"token": each, "logprob": math.log(chance), "bytes": list(each.encode())}

    listed = sorted({piece: probability, **others}.items(), key=lambda item: -item[1])[:top]
    return entry(piece, probability) | {"top_logprobs": [entry(*each) for each in listed]}


def side_by_side(scored: list[dict[str, Any]]) -> dict[str, Any]:
    """The same log-probabilities in the older form, which text completions have."""
    return {
        "tokens": [each["token"] for each in scored],
        "token_logprobs": [each["logprob"] for each in scored],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in each["top_logprobs"]} for each in scored
        ],
        "text_offset": [0] * len(scored),
    }


def completion(
    *texts: str,
    body: dict[str, Any] | None = None,
    others: dict[str, float] | None = None,
    older: bool = True,
) -> dict[str, Any]:
    """A completion as the protocol has it, with log-probabilities where they are asked for.

    Those of a text completion, which answers a body with a prompt, are in the `older` form, or in
    that of chats.
    """
    body = body or {"messages": []}
    messages, text_only = body.get("messages", []), "prompt" in body
    most = body.get("max_tokens") or body.get("max_completion_tokens") or 99
    top = body.get("logprobs", 0) if text_only else body.get("top_logprobs", 0)
    choices, spent = [], 0
    for index, text in enumerate(texts):
        said = pieces(text)[:most]
        spent += len(said)
        scored = [
            token(piece, 0.75, (others or {}) if place == 0 else {}, top)
            for place, piece in enumerate(said)
        ]
        logprobs = side_by_side(scored) if text_only and older else {"content": scored}
        whole = "".join(said)
        choices.append(
            {
                "index": index,
                "finish_reason": "length" if len(said) < len(pieces(text)) else "stop",
                "logprobs": logprobs if body.get("logprobs") else None,
            }
            | (
                {"text": whole}
                if text_only
                else {"message": {"role": "assistant", "content": whole}}
            )
        )
    written = [body["prompt"]] if text_only else [message["content"] for message in messages]
    octets = sum(len(each.encode()) for each in written)
    sent = octets // 4 + 4 * len(messages) + 3
    usage = {"prompt_tokens": sent, "completion_tokens": spent, "total_tokens": sent + spent}
    return {
        "id": "1",
        "object": "text_completion" if text_only else "chat.completion",
        "model": "tiny-2026",
        "choices": choices,
        "usage": usage,
    }


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    return Reply({"error": {"message": message, **more}}, status, headers or {})


@dataclass
class Server:
    """A script: a server that takes only part of the protocol, and says so in words or not."""

    answer: str = "great"
    lacks: tuple[str, ...] = ()
    most_logprobs: int = 20
    silent: tuple[str, ...] = ()
    mute: bool = False
    older: bool = True

    def __call__(self, body: dict[str, Any]) -> Any:
        for name in self.lacks:
            if name in body:
                return self.reject(f"Unsupported parameter: '{name}'", name)
        chat = "messages" in body
        if chat and "system" in self.lacks and body["messages"][0]["role"] == "system":
            return self.reject("System role not supported", "")
        if body.get("n", 1) > 1 and "votes" in self.lacks:
            return self.reject("'n' must be 1", "n")
        if int(body.get("top_logprobs" if chat else "logprobs", 0)) > self.most_logprobs:
            return self.reject(f"top_logprobs must be at most {self.most_logprobs}", "")
        heard = {name: value for name, value in body.items() if name not in self.silent}
        answers = [self.said(body)] * heard.get("n", 1)
        return completion(*answers, body=heard, others={"terr": 0.2}, older=self.older)

    def said(self, body: dict[str, Any]) -> str:
        if "prompt" in body:
            last = body["prompt"].removesuffix("\nAnswer:").rpartition("\n")[2]
            return last.removeprefix("Answer: ") if last.startswith("Answer: ") else self.answer
        asked = body["messages"][-1]["content"]
        return asked.rpartition(": ")[2] if asked.startswith("Repeat") else self.answer

    def reject(self, message: str, parameter: str) -> Reply:
        return Reply({}, 400) if self.mute else error(400, message, param=parameter)


@dataclass
class Kit:
    """What tests of this provider share."""

    endpoints: list[Endpoint] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    gateway: Gateway | None = None
    key = KEY
    Reply = Reply
    Server = Server
    completion = staticmethod(completion)
    error = staticmethod(error)
    prompt = Prompt(
        (('How does "the film was awful" feel? Answer:', "terrible"),),
        'How does "the movie was superb" feel? Answer:',
    )
    other = Prompt((), 'How does "the soup was huge" feel? Answer:')
    labels = ("terrible", "great")

    def serve(self, script: Callable[[dict[str, Any]], Any]) -> Endpoint:
        self.endpoints.append(Endpoint(script))
        return self.endpoints[-1]

    def model(self, endpoint: Endpoint, **options: Any) -> OpenAILanguageModel:
        given = {"model": "tiny", "base_url": endpoint.url, "api_key_env": "CANARY_KEY"}
        return OpenAILanguageModel(**(given | options))

    def ask(
        self,
        model: OpenAILanguageModel,
        prompt: Prompt | None = None,
        labels=None,
        new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> Any:
        async def once() -> Any:
            try:
                return await model.score([prompt or self.prompt], labels or self.labels)
            finally:
                await model.close()

        with asyncio.Runner(loop_factory=new_loop) as runner:
            (answer,) = runner.run(once())
        return answer

    def probe(
        self,
        model: OpenAILanguageModel,
        labels=None,
        prompts=None,
        limits=None,
        new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
        **policy: Any,
    ) -> Any:
        """What was found, and what the gateway's ledger says of it."""

        async def nap(seconds: float) -> None:
            self.naps.append(seconds)

        cache, rules = AnswerCache(":memory:"), RetryPolicy(sleep=nap, **policy)
        self.gateway = Gateway(model, cache, Budget(limits or Limits()), rules)

        async def once() -> Any:
            try:
                return await self.gateway.detect_capabilities(
                    prompts or [self.prompt, self.other], labels or self.labels
                )
            finally:
                await model.close()

        with asyncio.Runner(loop_factory=new_loop) as runner:
            facts, ledger = runner.run(once()), self.gateway.ledger()
        return SimpleNamespace(facts=facts, usage=ledger.spent, sent=ledger.sent)


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    monkeypatch.setenv("CANARY_KEY", KEY)
    # Reading the certificates, which plain HTTP does not need, would take most of the tests' time.
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    made = Kit()
    yield made
    for endpoint in made.endpoints:
        endpoint.close()
