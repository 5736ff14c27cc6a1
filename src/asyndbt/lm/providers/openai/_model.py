"""The provider for endpoints that speak OpenAI's protocol."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from asyndbt._section import Section
from asyndbt._text import shorten
from asyndbt.errors import DataError
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt, Send, Usage
from asyndbt.lm.providers.openai._client import Client
from asyndbt.lm.providers.openai._errors import RejectedError
from asyndbt.lm.providers.openai._key import ApiKey
from asyndbt.lm.providers.openai._options import OpenAIOptions
from asyndbt.lm.providers.openai._probe import CapabilityProbe
from asyndbt.lm.providers.openai._requests import (
    Capabilities,
    RequestOptions,
    body_of,
)
from asyndbt.lm.providers.openai._scoring import answer_of, same_labels
from asyndbt.lm.providers.openai._usage import Meter, Prices, Size, TokenCounter, find_prices

_log = logging.getLogger(__name__)
_UNKNOWN_LABELS: Final = ("?" * 256,)
"""Label words of bounds that are requested before any were seen."""


class OpenAILanguageModel(LanguageModel):
    """A model behind an endpoint that speaks OpenAI's protocol.

    Chat models, and base models that continue a text; hosted ones, gateways to them, and servers
    such as vLLM, llama.cpp, Ollama and LM Studio.  What an endpoint accepts of the protocol is
    found by `detect_capabilities` or taken from `restore_capabilities`; before, everything is
    assumed.  Every prompt is one request, never retried here.

    Parameters
    ----------
    feedback : {"logprobs", "votes", "text"}
        Scores from the answer's first tokens, scores from several sampled answers, or a text.
    **options
        Keys of `OpenAIOptions`; ``model`` is required.

    Raises
    ------
    ConfigError
        If an option is unknown, missing or out of range.
    """

    provider = "openai"
    feedbacks = ("logprobs", "votes", "text")
    Options = OpenAIOptions
    is_remote = True
    writes = True
    options: OpenAIOptions

    def __init__(self, feedback: Feedback | None = None, **options: Any) -> None:
        super().__init__(feedback, **options)
        own = self.options
        self._request = RequestOptions(
            own.model,
            self.feedback,
            own.api,
            own.system,
            own.votes,
            own.temperature,
            own.max_tokens,
            own.extra_body,
        )
        variable = own.api_key_env or (None if own.base_url else "OPENAI_API_KEY")
        self._key = ApiKey() if variable is None else ApiKey.from_environment(variable)
        self._client = Client(own.base_url, self._request.form.path, self._key, own.timeout)
        self._capabilities = Capabilities.assumed(self._request, own.base_url)
        self._meter = Meter(self._prices)
        self._labels: Sequence[str] = _UNKNOWN_LABELS
        self._answered = False
        self._named = ""

    def __repr__(self) -> str:
        return f"OpenAILanguageModel({self.name!r})"

    @property
    def name(self) -> str:
        """Host, model, and a digest of all that shapes requests."""
        shape = {
            "address": self._client.address,
            "settings": asdict(self._request),
            "abilities": asdict(self._capabilities),
        }
        canonical = json.dumps(shape, sort_keys=True, default=str)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:12]
        return f"openai/{self._client.host}/{self._request.model}/{digest}"

    @classmethod
    def messages(
        cls, options: Section, facts: Mapping[str, Any], prompt: Prompt, labels: Sequence[str]
    ) -> list[dict[str, str]] | None:
        """Return the messages of a chat request; None with ``api = "completions"``."""
        assert isinstance(options, OpenAIOptions)
        request = RequestOptions(options.model, api=options.api, system=options.system)
        capabilities = Capabilities(system_role=facts.get("system_role", True))
        content = request.form.content(request, capabilities, prompt, labels)
        found: list[dict[str, str]] | None = content.get("messages")
        return found

    @property
    def has_prices(self) -> bool:
        return self._meter.prices.known

    def _prices(self) -> Prices:
        return find_prices(
            self.options.model, self.options.base_url, self.options.price_in, self.options.price_out
        )

    def max_usage(self, prompt: Prompt) -> Usage:
        """Upper bound of the cost of one request; tighter after replies."""
        request = self._request_for(prompt)
        return self._meter.bound(Size.of(request.content(self._labels)), request.most_out)

    def expected_usage(self, prompt: Prompt) -> Usage:
        request = self._request_for(prompt)
        size = Size.of(request.content(self._labels))
        return self._meter.expect(size, request.most_out, usual=request.usual)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Raise DataError if no answer can tell two labels apart."""
        same = same_labels(labels)
        if same:
            raise DataError(f"labels {same[0]!r} and {same[1]!r} read the same; use other words")
        self._labels = tuple(labels)

    def warnings(
        self, texts: Sequence[Sequence[str]], vocabulary: Sequence[str] = ()
    ) -> Sequence[str]:
        """Return whether none of the first answers named a label, or was a text without labels."""
        if not self._named.startswith("0 of "):
            return ()
        if not self._labels:
            return (f"{self._named} answers to the first prompts have a text: raise lm.max_tokens",)
        return (
            f"{self._named} answers to the first prompts name a label: say in lm.system how to "
            "answer, raise lm.max_tokens if answers are cut off, or choose other words in "
            "task.labels; asyndbt check shows an answer",
        )

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        """Find out by a few requests what the endpoint accepts, and use it from now on.

        Raises MissingExtraError without the package openai, ModelError if no request can succeed,
        and ConfigError, with the remedy, if the endpoint cannot give the feedback or a prompt is
        too long.
        """
        self.check(prompts, labels)
        self._check_access()
        probe = CapabilityProbe(
            self._client.post, send, self._meter, self._request, self._capabilities
        )
        await probe.run(prompts, labels)
        self._capabilities, self._answered = probe.capabilities, True
        self._named = _count_named(probe.facts)
        if probe.sample is not None:
            # Logged, not told by `warnings`: what a model said is in no record.
            _log.warning("an answer that names no label: %s", shorten(probe.sample))
        model = self._key.redact(probe.replies[-1].model)
        return {**probe.facts, **self._meter.counter.facts, "model": model}

    def restore_capabilities(self, facts: Mapping[str, Any]) -> None:
        """Use what an earlier `detect_capabilities` found.

        Raises MissingExtraError without the package openai, and ModelError without a key.
        """
        self._check_access()
        self._capabilities = Capabilities.from_facts(facts, self._capabilities)
        self._answered = bool(facts)
        self._named = _count_named(facts)
        self._meter.counter = TokenCounter.from_facts(facts)

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt by one request.

        Raises ExampleError if a request is rejected for no known reason while others were answered.
        """
        if labels or not any(prompt.most_tokens for prompt in prompts):
            self._labels = tuple(labels)
        return [await self._answer(prompt, labels) for prompt in prompts]

    async def close(self) -> None:
        await self._client.close()

    def _check_access(self) -> None:
        self._client.check()
        self._key.check()

    async def _answer(self, prompt: Prompt, labels: Sequence[str]) -> Answer:
        request, rejected = self._request_for(prompt), None
        content = request.content(labels)
        try:
            reply = await self._client.post(request.body(content))
        except RejectedError as error:
            rejected = error
        if rejected is not None:
            if rejected.refusal is None:
                raise rejected.final(self._answered)
            return Answer(None, None, Usage(calls=1), refusal=rejected.refusal)
        self._answered = True
        usage = self._meter.book(Size.of(content), request.most_out, reply, usual=request.usual)
        opened = self._capabilities.open_thought
        return answer_of(reply, usage, request.options.feedback, labels, opened)

    def _request_for(self, prompt: Prompt) -> _Request:
        if prompt.most_tokens is None:
            return _Request(prompt, self._request, self._capabilities)
        without_scores = replace(self._capabilities, logprobs=0)
        return _Request(prompt, self._request.writing(prompt.most_tokens), without_scores)


@dataclass(frozen=True, slots=True)
class _Request:
    """A prompt, and what shapes the request for it."""

    prompt: Prompt
    options: RequestOptions
    capabilities: Capabilities

    @property
    def usual(self) -> bool:
        """Whether its answer is as long as most: no text of several lines."""
        return self.prompt.most_tokens is None

    @property
    def most_out(self) -> int:
        return self.capabilities.most_out(self.options)

    def content(self, labels: Sequence[str]) -> dict[str, Any]:
        return self.options.form.content(self.options, self.capabilities, self.prompt, labels)

    def body(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return body_of(self.options, self.capabilities, content, lines=not self.usual)


def _count_named(facts: Mapping[str, Any]) -> str:
    """Return how many of the first answers named a label, or without labels were given."""
    return str(facts.get("labels_named") or facts.get("answers_given", ""))
