"""Detecting by a few requests what an endpoint accepts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, Final

from asyndbt.errors import ConfigError, ModelError, Setting, TransientError
from asyndbt.lm._base import Prompt, Request, Send, Usage
from asyndbt.lm.providers.openai._errors import PROVIDER, RejectedError
from asyndbt.lm.providers.openai._replies import Completion, Token
from asyndbt.lm.providers.openai._requests import (
    Capabilities,
    RequestOptions,
    body_of,
)
from asyndbt.lm.providers.openai._scoring import shared_bytes, tokens_to_tell
from asyndbt.lm.providers.openai._usage import Meter, Size

_REAL_PROMPTS: Final = 2
_MOST_REPEATED: Final = 8
_MOST_LABEL_TOKENS: Final = 16
_TRIES_TO_CONNECT: Final = 2
"""Most tries to connect: an address without a server is usually wrong."""
_FEWER: Final = {20: 10, 10: 5, 5: 0}

_NO_LOGPROBS: Final = (
    'the endpoint gives no log-probabilities: set lm.feedback = "text" (or "votes")'
)
_NO_VOTES: Final = 'the endpoint gives one answer per request: set lm.feedback = "text"'
_CUT: Final = "the answer was cut off before it began, the model thinks first: raise lm.max_tokens"
_THINKS: Final = (
    "the model thinks before it answers, so that the first tokens say nothing of the labels: turn "
    'thinking off by lm.extra_body, or set lm.feedback = "text" and raise lm.max_tokens'
)
PROMPT_TOO_LONG: Final = (
    "the longest prompt is too long for the model: set ",
    Setting("a shorter prompt"),
)


class CapabilityProbe:
    """A search for what an endpoint accepts, begun with `capabilities`, which holds the result.

    `post` is `Client.post`; every request passes through `send`.
    """

    def __init__(
        self,
        post: Callable[[Mapping[str, Any]], Awaitable[Completion]],
        send: Send,
        meter: Meter,
        request: RequestOptions,
        capabilities: Capabilities,
    ) -> None:
        self._post, self._send, self._meter = post, send, meter
        self.request, self.capabilities = request, capabilities
        self.replies: list[Completion] = []
        self._seconds: list[float] = []
        self._unreached = 0

    async def run(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Send a few requests, one after the other.

        Raises ConfigError if the endpoint cannot do what the settings require or a prompt is too
        long for it, ModelError if no request can succeed.
        """
        refused: list[RejectedError] = []
        for prompt in prompts[:_REAL_PROMPTS]:
            try:
                reply = await self._settle(prompt, labels)
            except RejectedError as rejected:
                if rejected.refusal == "too long":
                    raise ConfigError(*PROMPT_TOO_LONG, f" ({rejected.words})") from None
                refused.append(rejected)
            else:
                self._require(reply)
        if not self.replies:
            raise refused[0].final()
        await self._choose_length(labels)

    @property
    def facts(self) -> dict[str, Any]:
        """What was found, for `Capabilities.from_facts`."""
        facts = asdict(self.capabilities)
        asked = facts.pop("logprobs")
        if self.request.feedback == "logprobs":
            tokens = [token for answer in self._answers() for token in answer]
            seen = max((len(token.alternatives) for token in tokens), default=0)
            facts |= {"logprobs": min(seen, asked), "logprobs_asked": asked}
        # The first request may have waited for the model to be loaded.
        warm = self._seconds[1:] or self._seconds
        return {**facts, "seconds_per_request": round(fmean(warm), 3)}

    async def _settle(self, prompt: Prompt, labels: Sequence[str]) -> Completion:
        """Ask one prompt, giving up one capability after the other until it is answered.

        Raises RejectedError if the prompt is refused, whatever the form of the request.
        """
        tried, guesses = {self.capabilities}, self._guesses(self.capabilities)
        first: RejectedError | None = None
        while True:
            try:
                return await self._within_length(prompt, labels)
            except RejectedError as rejected:
                if rejected.refusal or self.replies:
                    raise
                last = rejected
            first = first or last
            suggested = self._suggested(last)
            if suggested is not None and suggested not in tried:
                self.capabilities, guesses = suggested, self._guesses(suggested)
            else:
                guesses = [guess for guess in guesses if guess not in tried]
                if not guesses:
                    raise first.final()
                self.capabilities = guesses[0]
            tried.add(self.capabilities)

    def _suggested(self, rejected: RejectedError) -> Capabilities | None:
        """Capabilities to try next, by the message of a rejection."""
        now, words = self.capabilities, f"{rejected.parameter} {rejected.words}".lower()
        if "higher max_tokens" in words or "output limit was reached" in words:
            raise ConfigError(_CUT)
        if now.max_tokens_field in re.findall(r"\w+", words):
            return self._other_length(now)
        if self.request.feedback == "votes" and re.search(r"(?<![\w\\])n(?!\w)", words):
            raise ConfigError(f"{_NO_VOTES} ({rejected.words})")
        if now.logprobs and "logprob" in words:
            if not (fewer := _FEWER[now.logprobs]):
                raise ConfigError(_NO_LOGPROBS)
            return replace(now, logprobs=fewer)
        if now.temperature and "temperature" in words:
            return replace(now, temperature=False)
        if now.seed and "seed" in words:
            return replace(now, seed=False)
        if now.system_role and re.search(r"\bsystem\b|\broles?\b", words):
            return replace(now, system_role=False)
        return None

    async def _within_length(self, prompt: Prompt, labels: Sequence[str]) -> Completion:
        """Ask, and again with the other field if the most tokens were exceeded."""
        reply, before = await self._ask(self._content(prompt, labels)), self.capabilities
        other = self._other_length(before)
        if other == before or not self._overrun(reply):
            return reply
        self.capabilities = other
        try:
            again = await self._ask(self._content(prompt, labels))
        except RejectedError:
            self.capabilities = before
            return reply
        if self._overrun(again):
            self.capabilities = before
        return again

    def _overrun(self, reply: Completion) -> bool:
        # Some endpoints count the end of an answer as a token.
        most = self.capabilities.most_out(self.request) + self.request.answers
        return (reply.tokens_out or 0) > most

    def _content(self, prompt: Prompt, labels: Sequence[str]) -> dict[str, Any]:
        return self.request.form.content(self.request, self.capabilities, prompt, labels)

    async def _ask(self, content: Mapping[str, Any]) -> Completion:
        body = body_of(self.request, self.capabilities, content)
        size, most = Size.of(content), self.capabilities.most_out(self.request)

        async def call() -> tuple[Completion, Usage]:
            reply = await self._timed(body)
            return reply, self._meter.book(size, most, reply.tokens_in, reply.tokens_out)

        expected = self._meter.expect(size, most).tokens
        reply = await self._send(Request(call, self._meter.bound(size, most), expected))
        self.replies.append(reply)
        return reply

    async def _timed(self, body: Mapping[str, Any]) -> Completion:
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            reply = await self._post(body)
        except TransientError as error:
            self._unreached += error.kind == "connection"
            if self._unreached < _TRIES_TO_CONNECT:
                raise
            fault = ModelError(f"{error}, {self._unreached} times", provider=PROVIDER)
        else:
            self._seconds.append(clock() - start)
            return reply
        raise fault

    def _require(self, reply: Completion) -> None:
        """Raise ConfigError unless a reply has what the feedback needs."""
        answers = [choice for choice in reply.choices if not choice.filtered]
        if not answers:
            return
        if all(choice.thinking for choice in answers):
            raise ConfigError(_THINKS if self.request.feedback == "logprobs" else _CUT)
        if self.request.feedback == "logprobs":
            tokens = [token for choice in answers for token in choice.tokens or ()]
            scored = self.capabilities.logprobs and any(token.alternatives for token in tokens)
            if answers[0].text.strip() and not scored:
                raise ConfigError(_NO_LOGPROBS)
        if len(reply.choices) < self.request.answers:
            raise ConfigError(_NO_VOTES)

    async def _choose_length(self, labels: Sequence[str]) -> None:
        if self.request.max_tokens is not None:
            self.capabilities = replace(self.capabilities, answer_tokens=self.request.max_tokens)
        elif self.request.feedback == "logprobs":
            before = [tokens_to_tell(tokens, labels)[0] for tokens in self._answers()]
            label = await self._label_tokens(labels)
            # One mark before the label is always allowed.
            self.capabilities = replace(self.capabilities, answer_tokens=max(1, *before) + label)

    def _answers(self) -> Iterator[Sequence[Token]]:
        for reply in self.replies:
            yield reply.choices[0].tokens or ()

    async def _label_tokens(self, labels: Sequence[str]) -> int:
        """Tokens from the beginning of a label that exclude all others."""
        shared = dict(zip(labels, shared_bytes(labels), strict=True))
        alike = [label for label, common in shared.items() if common]
        needed = [1]
        self.capabilities = replace(self.capabilities, answer_tokens=_MOST_LABEL_TOKENS)
        for label in alike:
            seen = await self._repeated(label, labels) if len(alike) <= _MOST_REPEATED else None
            needed.append(seen or min(shared[label] + 1, _MOST_LABEL_TOKENS))
        return max(needed)

    async def _repeated(self, label: str, labels: Sequence[str]) -> int | None:
        """Let the model repeat a label; None if it says something else."""
        try:
            reply = await self._ask(self.request.form.repetition(label))
        except RejectedError:
            return None
        return tokens_to_tell(reply.choices[0].tokens or (), labels)[1]

    def _other_length(self, now: Capabilities) -> Capabilities:
        """Return the capabilities with the other field for the length, if there is one."""
        fields = self.request.form.length_fields
        return replace(now, max_tokens_field=fields[fields.index(now.max_tokens_field) - 1])

    def _guesses(self, now: Capabilities) -> list[Capabilities]:
        """Alternatives after an unexplained rejection: one change each, the likeliest first."""
        return [
            replace(now, seed=False),
            replace(now, temperature=False),
            self._other_length(now),
            replace(now, system_role=False),
            *(replace(now, logprobs=fewer) for fewer in _FEWER.values() if fewer < now.logprobs),
        ]
