"""A language model whose answers several runs share, while each still pays for what it asks.

Runs that are compared must be charged alike: an answer that another run has paid for must cost this
one the same calls and tokens.  So the answers are shared below the gateway: it sees a model that
answers everything at the original price, while the real model is asked only for what no run has
asked before.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from asyndbt.errors import ExampleError, TransientError
from asyndbt.lm._base import Answer, LanguageModel, Prompt, Request, Send, Usage
from asyndbt.lm._cache import AnswerCache, request_key

T = TypeVar("T")


class ReplayedModel(LanguageModel):
    """Answers from a shared cache what was answered before, and asks a model for the rest.

    It has the model's name, prices and limits.  A prompt that the same user asks again after it was
    answered is another sample: the second answer is the second that was ever given.  Equal prompts
    in flight are one request.  Two processes that ask for the same at the same moment both send it,
    and the first answer stored counts from then on.

    Parameters
    ----------
    model : LanguageModel
        Is asked what no run has asked before.
    cache : AnswerCache
        Shared with other runs; its payer is this run, and its total what this run really paid.

    Examples
    --------
    >>> from asyndbt.testing import ScriptedLanguageModel
    >>> real, cache = ScriptedLanguageModel({"fun": (-0.1, -2.3)}), AnswerCache(":memory:")
    >>> prompt, words = Prompt((), "It was fun. Answer:"), ["great", "terrible"]
    >>> first, second = (
    ...     asyncio.run(ReplayedModel(real, cache).score([prompt], words)) for _ in range(2)
    ... )
    >>> first == second, first[0].usage.calls, len(real.asked)
    (True, 1, 1)
    """

    def __init__(self, model: LanguageModel, cache: AnswerCache) -> None:
        self._model, self._cache = model, cache
        self._given: Counter[bytes] = Counter()
        self._in_flight: dict[bytes, asyncio.Future[Answer | None]] = {}
        self._asked_as = model.name
        self.feedback, self.options = model.feedback, model.options
        self.batch, self.is_remote = model.batch, model.is_remote
        self.writes = model.writes

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def kind(self) -> type[LanguageModel]:
        return self._model.kind

    @property
    def has_prices(self) -> bool:
        return self._model.has_prices

    def max_usage(self, prompt: Prompt) -> Usage:
        return self._model.max_usage(prompt)

    def expected_usage(self, prompt: Prompt) -> Usage:
        return self._model.expected_usage(prompt)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        self._model.check(prompts, labels)

    def warnings(
        self, texts: Sequence[Sequence[str]], vocabulary: Sequence[str] = ()
    ) -> Sequence[str]:
        return self._model.warnings(texts, vocabulary)

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        """Detect once; later runs get the same facts at the same charge."""
        file = self._probe_file(labels)
        if file is not None and file.exists():
            known = json.loads(file.read_text("utf-8"))
            await _send_again(Usage(**known["usage"]), known["sent"], send)
            self._model.restore_capabilities(known["facts"])
            return dict(known["facts"])
        account = _Account(send)
        facts = await self._model.detect_capabilities(prompts, labels, account.send)
        if file is not None:
            record = {"facts": dict(facts), "usage": asdict(account.usage), "sent": account.sent}
            file.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
        return facts

    def _probe_file(self, labels: Sequence[str]) -> Path | None:
        if self._cache.path == ":memory:":
            return None
        # The name changes with the facts, so they are kept under the name from before.
        identity = json.dumps([self._asked_as, *labels]).encode()
        return Path(f"{self._cache.path}.probe-{sha256(identity).hexdigest()[:12]}.json")

    def restore_capabilities(self, facts: Mapping[str, Any]) -> None:
        self._model.restore_capabilities(facts)

    async def close(self) -> None:
        """Close the model; the cache stays open."""
        await self._model.close()

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt, asking only for what was never answered before."""
        asked = [request_key(self.name, prompt, labels) for prompt in prompts]
        keys = [
            self._sample(key, prompt, labels) for key, prompt in zip(asked, prompts, strict=True)
        ]
        found: dict[bytes, Answer | None] = {**self._cache.get_many(keys)}
        missing = {k: p for k, p in zip(keys, prompts, strict=True) if k not in found}
        joined = {k: self._in_flight[k] for k in missing if k in self._in_flight}
        own = {k: p for k, p in missing.items() if k not in joined}
        if own:
            found |= await self._ask(own, labels)
        for key, pending in joined.items():
            found[key] = await asyncio.shield(pending)
        self._given.update({key for key, of in zip(asked, keys, strict=True) if found[of]})
        return [found[key] for key in keys]

    def _sample(self, key: bytes, prompt: Prompt, labels: Sequence[str]) -> bytes:
        given = self._given[key]
        return request_key(self.name, prompt, labels, given) if given else key

    async def _ask(
        self, prompts: Mapping[bytes, Prompt], labels: Sequence[str]
    ) -> dict[bytes, Answer | None]:
        pending = {key: asyncio.get_running_loop().create_future() for key in prompts}
        self._in_flight |= pending
        answers: dict[bytes, Answer | None] = {}
        try:
            given = await self._model.score(list(prompts.values()), labels)
            answers = dict(zip(prompts, given, strict=True))
            self._cache.put_many({k: answer for k, answer in answers.items() if answer is not None})
        finally:
            for key, future in pending.items():
                del self._in_flight[key]
                future.set_result(answers.get(key))
        return answers


class _Account:
    """Sends requests, and sums their cost."""

    def __init__(self, send: Send) -> None:
        self._send, self.usage, self.sent = send, Usage(), 0

    async def send(self, request: Request[T]) -> T:
        async def call() -> tuple[T, Usage]:
            self.sent += 1
            try:
                reply, cost = await request.call()
            except TransientError as error:
                self.usage += request.bound if error.charged else Usage()
                raise
            self.usage += cost
            return reply, cost

        return await self._send(replace(request, call=call))


async def _send_again(usage: Usage, sent: int, send: Send) -> None:
    """Charge for requests of an earlier run as it was charged."""

    async def answered() -> tuple[bool, Usage]:
        return True, usage

    async def refused() -> tuple[bool, Usage]:
        raise ExampleError("turned down before", provider="replay")

    if usage.calls:
        await send(Request(answered, usage, 0))
    for _ in range(sent - usage.calls):
        with suppress(ExampleError):
            await send(Request(refused, Usage(), 0))
