"""A language model behind OpenAI's protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

from asyndbt.errors import DataError
from asyndbt.lm.protocol import Answer, Probe, Prompt, Usage
from asyndbt.lm.providers.openai.answers import answer_of
from asyndbt.lm.providers.openai.connection import Connection
from asyndbt.lm.providers.openai.faults import Rejected
from asyndbt.lm.providers.openai.key import ApiKey
from asyndbt.lm.providers.openai.labels import same_labels
from asyndbt.lm.providers.openai.prices import Prices, find_prices
from asyndbt.lm.providers.openai.probe import Exchange, Probing
from asyndbt.lm.providers.openai.reply import Reply
from asyndbt.lm.providers.openai.request import (
    Abilities,
    Feedback,
    Settings,
    body_of,
    messages_of,
)
from asyndbt.lm.providers.openai.tokens import Size, TokenCounter

__all__ = ["OpenAILanguageModel"]

_UNKNOWN_LABELS: Final = ("?" * 256,)
"""Stands for the label words in bounds that are asked for before any were seen."""


class OpenAILanguageModel:
    """A chat model behind an endpoint that speaks OpenAI's protocol.

    Hosted models, gateways to them, and servers such as vLLM, llama.cpp, Ollama and LM Studio.
    What an endpoint takes of the protocol is found out by `probe`, or taken over by `adopt`; before
    either, everything is assumed.  Every prompt is one request; nothing is sent again here.

    Parameters
    ----------
    model : str
        Its name at the endpoint.
    base_url : str or None
        Address up to and without ``/chat/completions``; None is that of OpenAI.
    api_key_env : str or None
        Environment variable that holds the key; None is ``OPENAI_API_KEY`` for OpenAI and no key
        for any other address.
    feedback : {"logprobs", "votes", "text"}
        Scores from the answer's first tokens, scores from several sampled answers, or a text.
    system : str or None
        System message, ``{labels}`` standing for the label words; "" sends none, and None asks for
        one of the label words.
    votes : int or None
        Answers sampled per prompt, feedback "votes"; 5 if None.
    temperature : float or None
        1 for votes and 0 otherwise if None.
    max_tokens : int or None
        Most tokens of an answer; what the label words need if None.
    extra_body : mapping or None
        Further fields of every request.
    timeout : float
        Seconds that a request may take.
    price_in, price_out : float or None
        Prices of a million tokens; looked up in the package genai-prices if None.

    Raises
    ------
    MissingExtraError
        If the package openai is not installed.
    ConfigError
        If the key is not in the environment, or a setting is none.
    """

    batch = 1
    metered = True

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        feedback: Feedback = "logprobs",
        system: str | None = None,
        votes: int | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        price_in: float | None = None,
        price_out: float | None = None,
    ) -> None:
        self._settings = Settings(
            model, feedback, system, votes, temperature, max_tokens, dict(extra_body or {})
        )
        if api_key_env is None and base_url is None:
            api_key_env = "OPENAI_API_KEY"
        self._key = ApiKey() if api_key_env is None else ApiKey.from_environment(api_key_env)
        self._connection = Connection(base_url, self._key, timeout)
        self._base_url = base_url
        self._given_prices = (price_in, price_out)
        self._abilities = Abilities.assumed(self._settings, base_url)
        self._counter = TokenCounter()
        self._labels: Sequence[str] = _UNKNOWN_LABELS
        self._answered = False

    def __repr__(self) -> str:
        return f"OpenAILanguageModel({self.name!r})"

    @property
    def name(self) -> str:
        """Identity: host, model, and a digest of all that shapes its requests."""
        shape = {
            "address": self._connection.address,
            "settings": asdict(self._settings),
            "abilities": asdict(self._abilities),
        }
        canonical = json.dumps(shape, sort_keys=True, default=str)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:12]
        return f"openai/{self._connection.host}/{self._settings.model}/{digest}"

    @property
    def priced(self) -> bool:
        """Whether the money in its usages comes from prices, and is not 0 for lack of any."""
        return self._prices.known

    @cached_property
    def _prices(self) -> Prices:
        return find_prices(self._settings.model, self._base_url, *self._given_prices)

    def estimate(self, prompt: Prompt) -> Usage:
        """Upper bound of what one request for `prompt` costs; tighter once replies were seen."""
        size = Size.of(self._messages(prompt, self._labels))
        return self._usage(self._counter.bound(size), self._most_out)

    def expect(self, prompt: Prompt) -> Usage:
        """What one request for `prompt` will probably cost."""
        size = Size.of(self._messages(prompt, self._labels))
        answer = self._counter.expect_answer(self._most_out)
        return self._usage(self._counter.expect(size), answer)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find labels that no answer can tell apart.

        Raises
        ------
        DataError
            If there are any.
        """
        same = same_labels(labels)
        if same:
            raise DataError(f"labels {same[0]!r} and {same[1]!r} read the same; use other words")
        self._labels = tuple(labels)

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Probe:
        """Find out by a few requests what the endpoint takes, and go by it from now on.

        Raises
        ------
        ModelError
            If no request can succeed.
        ConfigError
            If the endpoint cannot give the feedback; the text names the mend.
        """
        self.check(prompts, labels)
        probing = Probing(self._connection.post, self._settings, self._abilities)
        try:
            await probing.run(prompts, labels)
        finally:
            # A probe often has an event loop of its own, whose end would leave connections open.
            await self.close()
        self._abilities, self._answered = probing.abilities, True
        for each in probing.exchanges:
            self._learn(each.size, each.reply)
        spent = (self._paid(each.size, each.reply) for each in probing.exchanges)
        return Probe(self._facts(probing.exchanges), sum(spent, Usage()))

    def _facts(self, exchanges: Sequence[Exchange]) -> dict[str, Any]:
        seconds = sum(each.seconds for each in exchanges) / len(exchanges)
        return asdict(self._abilities) | {
            "tokens_per_byte": self._counter.most,
            "tokens_per_byte_mean": self._counter.mean,
            "tokens_out": self._counter.most_out,
            "tokens_out_mean": self._counter.mean_out,
            "seconds_per_request": round(seconds, 3),
            "model": self._key.redact(exchanges[-1].reply.model),
        }

    def adopt(self, facts: Mapping[str, Any]) -> None:
        """Go by what an earlier `probe` found."""
        self._abilities = Abilities.from_facts(facts, self._abilities)
        self._counter = TokenCounter(
            facts.get("tokens_per_byte"),
            facts.get("tokens_per_byte_mean"),
            facts.get("tokens_out", 0),
            facts.get("tokens_out_mean"),
        )

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt by one request.

        Raises
        ------
        RateLimitError, TransientError
            If the request may be sent again.
        ModelError
            If no request can succeed.
        """
        self._labels = tuple(labels)
        return [await self._answer(prompt, self._labels) for prompt in prompts]

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self._connection.close()

    async def _answer(self, prompt: Prompt, labels: Sequence[str]) -> Answer:
        messages, rejected = self._messages(prompt, labels), None
        try:
            reply = await self._connection.post(body_of(self._settings, self._abilities, messages))
        except Rejected as error:
            rejected = error
        if rejected is not None:
            return self._refused(rejected)
        self._answered = True
        size = Size.of(messages)
        usage = self._paid(size, reply)
        self._learn(size, reply)
        return answer_of(reply, usage, self._settings.feedback, labels)

    def _refused(self, rejected: Rejected) -> Answer:
        """Answer for a request that was turned down for good."""
        if rejected.refusal is None and not self._answered:
            raise rejected.as_error()
        return Answer(None, None, Usage(calls=1), refusal=rejected.refusal or "rejected")

    def _messages(self, prompt: Prompt, labels: Sequence[str]) -> list[dict[str, str]]:
        return messages_of(self._settings, self._abilities, prompt, labels)

    @property
    def _most_out(self) -> int:
        """Most tokens of all answers to one request; some endpoints do not keep to a limit."""
        most = self._settings.max_tokens or self._abilities.answer_tokens
        return max(most * self._settings.answers, self._counter.most_out)

    def _usage(self, tokens_in: int, tokens_out: int) -> Usage:
        return Usage(1, tokens_in, tokens_out, self._prices.money(tokens_in, tokens_out))

    def _paid(self, size: Size, reply: Reply) -> Usage:
        """What a reply cost: as it says, or else at most."""
        told_in, told_out = reply.tokens_in, reply.tokens_out
        return self._usage(
            self._counter.bound(size) if told_in is None else told_in,
            self._most_out if told_out is None else told_out,
        )

    def _learn(self, size: Size, reply: Reply) -> None:
        if reply.tokens_in:
            self._counter.learn(size.octets, size.messages, reply.tokens_in)
        if reply.tokens_out is not None:
            self._counter.learn_answer(reply.tokens_out)
