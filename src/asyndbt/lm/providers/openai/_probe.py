"""Detecting by a few requests what an endpoint accepts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, Final

from asyndbt.errors import ConfigError, ModelError, Setting, TransientError
from asyndbt.lm._answers import is_unparsed
from asyndbt.lm._base import Prompt, Request, Send, Usage
from asyndbt.lm.providers.openai._errors import PROVIDER, ROLES, RejectedError
from asyndbt.lm.providers.openai._replies import Completion, Token
from asyndbt.lm.providers.openai._requests import (
    Capabilities,
    RequestOptions,
    body_of,
)
from asyndbt.lm.providers.openai._scoring import answer_of, shared_bytes, tokens_to_tell
from asyndbt.lm.providers.openai._usage import Meter, Size

_REAL_PROMPTS: Final = 2
_MOST_REPEATED: Final = 8
_MOST_LABEL_TOKENS: Final = 16
_TRIES_TO_CONNECT: Final = 2
"""Most tries to connect: an address without a server is usually wrong."""
_FEWER: Final = (10, 5, 2, 0)
"""Alternatives to ask for, one after the other, where an endpoint does not say how many."""
_LEAST_TOKENS: Final = 16
_MOST_LEAST_TOKENS: Final = 1024

_NO_LOGPROBS: Final = (
    'the endpoint gives no log-probabilities: set lm.feedback = "text" (or "votes")'
)
_NO_VOTES: Final = 'the endpoint gives one answer per request: set lm.feedback = "text"'
_CUT: Final = "the answer was cut off before it began, the model thinks first: raise lm.max_tokens"
_NO_ANSWER: Final = (
    "the model gives its thoughts and no answer: turn thinking off by lm.extra_body, or at the "
    "endpoint"
)
_THINKS: Final = (
    "the model thinks before it answers, so that the first tokens say nothing of the labels: turn "
    'thinking off by lm.extra_body, or set lm.feedback = "text" and raise lm.max_tokens'
)
_TOO_FEW: Final = re.compile(
    r"minimum|at least|>=|≥|greater than|no less than|too (?:small|low|few)|between \d+ and"
)
"""Complaints of an endpoint that wants to give longer answers."""
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
        self.sample: str | None = None
        """An answer, if none of them names a label."""
        self._labels: Sequence[str] = ()
        self._named = ""
        self._seconds: list[float] = []
        self._unreached = 0

    async def run(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Send a few requests, one after the other.

        Raises ConfigError if the endpoint cannot do what the settings require or a prompt is too
        long for it, ModelError if no request can succeed.
        """
        refused: list[RejectedError] = []
        answered: list[Completion] = []
        for prompt in prompts[:_REAL_PROMPTS]:
            try:
                reply = await self._settle(prompt, labels)
            except RejectedError as rejected:
                if rejected.refusal == "too long":
                    raise ConfigError(*PROMPT_TOO_LONG, f" ({rejected.words})") from None
                refused.append(rejected)
            else:
                answered.append(reply)
        if not answered:
            raise refused[0].final()
        self._require(answered)
        self._count_labels(answered, labels)
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
        seconds = round(fmean(warm), 3)
        named = "labels_named" if self._labels else "answers_given"
        return {**facts, "seconds_per_request": seconds, named: self._named}

    async def _settle(self, prompt: Prompt, labels: Sequence[str]) -> Completion:
        """Ask one prompt, giving up one capability after the other until it is answered.

        Raises RejectedError if the prompt is refused, whatever the form of the request.
        """
        tried, guesses = {self.capabilities}, self._guesses(self.capabilities)
        first: RejectedError | None = None
        repeated = False
        while True:
            try:
                return await self._within_length(prompt, labels)
            except RejectedError as rejected:
                if rejected.refusal or self.replies:
                    raise
                last = rejected
            first = first or last
            suggested = self._suggested(last)
            if suggested is None and not repeated:
                # Without an explanation, one rejection may have been a mishap.
                repeated = True
                continue
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
        numbers = _numbers(words.partition(f"http {rejected.status}: ")[2])
        if "token" in words and "logprob" not in words and _TOO_FEW.search(words):
            asked = now.most_tokens(self.request)
            more = min((n for n in numbers if n > asked), default=max(_LEAST_TOKENS, 2 * asked))
            return replace(now, least_tokens=more) if more <= _MOST_LEAST_TOKENS else None
        if now.max_tokens_field in re.findall(r"\w+", words):
            return self._other_length(now)
        if self.request.feedback == "votes" and re.search(r"(?<![\w\\])n(?!\w)", words):
            raise ConfigError(f"{_NO_VOTES} ({rejected.words})")
        if now.logprobs and "logprob" in words:
            if not (fewer := _fewer(now.logprobs, numbers)):
                raise ConfigError(_NO_LOGPROBS)
            return replace(now, logprobs=fewer)
        if now.temperature and "temperature" in words:
            return replace(now, temperature=False)
        if now.seed and "seed" in words:
            return replace(now, seed=False)
        if now.system_role and (ROLES.search(words) or re.search(r"\broles?\b", words)):
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
            return reply, self._meter.book(size, most, reply)

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

    def _require(self, replies: Sequence[Completion]) -> None:
        """Raise ConfigError unless one of the replies has what the feedback needs."""
        answers = [choice for reply in replies for choice in reply.choices if not choice.filtered]
        if not answers:
            return
        scored = self.request.feedback == "logprobs"
        if all(choice.thinking for choice in answers):
            cut = any(choice.cut for choice in answers)
            raise ConfigError((_THINKS if scored else _CUT) if cut else _NO_ANSWER)
        if scored and not any(
            token.alternatives for choice in answers for token in choice.tokens or ()
        ):
            raise ConfigError(_NO_LOGPROBS)
        if max(len(reply.choices) for reply in replies) < self.request.answers:
            raise ConfigError(_NO_VOTES)
        opened = any(choice.thought_was_open for choice in answers)
        self.capabilities = replace(self.capabilities, open_thought=opened)

    def _count_labels(self, replies: Sequence[Completion], labels: Sequence[str]) -> None:
        """Count the answers to real prompts that name a label, or without labels have a text."""
        self._labels = labels
        texts, named, opened = [], 0, self.capabilities.open_thought
        for reply in replies:
            texts += [choice.text for choice in reply.choices]
            with suppress(TransientError):
                answer = answer_of(reply, Usage(), self.request.feedback, labels, opened)
                named += answer.refusal is None and not is_unparsed(answer, labels)
        self._named = f"{named} of {len(replies)}"
        self.sample = None if named else texts[0]

    async def _choose_length(self, labels: Sequence[str]) -> None:
        if self.request.max_tokens is not None:
            self.capabilities = replace(self.capabilities, answer_tokens=self.request.max_tokens)
        elif self.request.feedback == "logprobs":
            before = [
                reply.choices[0].skipped + tokens_to_tell(tokens, labels)[0]
                for reply, tokens in zip(self.replies, self._answers(), strict=True)
            ]
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
            *(replace(now, logprobs=fewer) for fewer in _FEWER if fewer < now.logprobs),
        ]


def _numbers(words: str) -> list[int]:
    """Whole numbers of a message, but not those in names and versions."""
    return [int(found) for found in re.findall(r"(?<![\w.-])\d{1,6}(?![\w-]|\.\d)", words)]


def _fewer(asked: int, numbers: Sequence[int]) -> int:
    """Alternatives to ask for next: as many as a message permits, 0 for none.

    Examples
    --------
    >>> _fewer(20, [0, 3]), _fewer(20, []), _fewer(2, [])
    (3, 10, 0)
    """
    named = max((number for number in numbers if number < asked), default=None)
    if named is None or named == 1:
        return next(fewer for fewer in _FEWER if fewer < asked)
    return named
