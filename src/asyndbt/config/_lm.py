"""The table [lm]: the language model that prompts are tuned for, and how it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, model_validator

from asyndbt._section import Section, SettingError, key
from asyndbt.config._base import resolved

__all__ = ["LMConfig"]

_ALWAYS: Final = ("provider", "feedback", "smoothing", "cache")
_LOCAL: Final = ("model", "device", "dtype", "kind", "chat_template", "batch_tokens", "system")
_REMOTE: Final = (
    "model",
    "base_url",
    "api_key_env",
    "system",
    "votes",
    "temperature",
    "max_tokens",
    "extra_body",
    "timeout",
    "price_in",
    "price_out",
)
_PACE: Final = ("max_retries", "max_concurrency", "requests_per_minute", "tokens_per_minute")
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "pocket": (),
    "openai": _REMOTE,
    "huggingface": _LOCAL,
}
"""What a provider is made with, by its name; the feedback besides."""
_KEYS: Final = {**_OPTIONS, "openai": (*_REMOTE, *_PACE)}
"""Keys that have an effect with a provider, besides `_ALWAYS`."""

_FEEDBACK: Final = {
    "pocket": ("logprobs", "text"),
    "openai": ("logprobs", "votes", "text"),
    "huggingface": ("logprobs",),
}
_SECRET: Final = re.compile(
    r"(api|access|auth|private)[-_]?(key|token)|^(key|token|sig)$|secret|password|signature|"
    r"authorization",
    re.IGNORECASE,
)


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,39}", value):
        raise SettingError(
            "", "holds the name of an environment variable, not the key itself: use OPENAI_API_KEY"
        )
    return value


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError("", "is an address such as http://localhost:8000/v1")
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.username or parts.password or any(map(_SECRET.search, names)):
        raise SettingError(
            "", "holds a secret, which would be written into the record: use api_key_env"
        )
    return value.rstrip("/")


def _cache(value: object, info: ValidationInfo) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("give the path of a file, in quotes")
    return resolved(value, info)


class LMConfig(Section):
    """[lm]: the language model that prompts are tuned for."""

    provider: Literal["pocket", "openai", "huggingface"] = key(
        "pocket",
        "Who answers: the tiny model inside this package, an OpenAI-compatible endpoint, or a "
        "model on this machine.",
        example="openai",
    )
    model: str | None = key(
        None,
        "The model's name at the endpoint; a folder or a name on the Hugging Face hub.",
        example="gpt-4o-mini",
        min_length=1,
    )
    base_url: Annotated[str, AfterValidator(_address)] | None = key(
        None,
        "Address of the endpoint; left out, that of OpenAI (openai).",
        example="http://localhost:8000/v1",
        min_length=1,
    )
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = key(
        None,
        "Name of the environment variable that holds the key; left out, OPENAI_API_KEY for OpenAI "
        "and no key for any other address (openai).",
        example="OPENAI_API_KEY",
    )
    feedback: Literal["logprobs", "votes", "text"] = key(
        "logprobs",
        "What an answer gives: log-probabilities of the label words, several sampled answers as a "
        "vote, or one answer's text.",
        example="text",
    )
    smoothing: float = key(
        0.1,
        'Probability spread over the labels that were not answered: feedback "text" and "votes", '
        'and method.loss "error".',
        example=0.2,
        gt=0,
        lt=1,
    )
    system: str | None = key(
        None,
        "System message; {labels} stands for the label words, and an empty text sends none. Left "
        "out, an endpoint is told to answer with one of the label words.",
        example="Answer with one of: {labels}.",
        kind="text",
    )
    votes: int | None = key(
        None,
        'Answers sampled per prompt, feedback "votes"; 5 if left out (openai).',
        example=9,
        ge=2,
        le=128,
    )
    temperature: float | None = key(
        None,
        'Sampling temperature; left out, 1 for feedback "votes" and 0 otherwise (openai).',
        example=0.7,
        ge=0,
        le=2,
    )
    max_tokens: int | None = key(
        None,
        "Most tokens of an answer; left out, what the label words need. A model that thinks before "
        "it answers needs more (openai).",
        example=512,
        ge=1,
    )
    extra_body: dict[str, Any] = key(
        {},
        "Further fields of every request, for what one endpoint alone knows (openai).",
        example={"enable_thinking": False},
        kind="table",
    )
    timeout: float = key(60.0, "Seconds that a request may take (openai).", example=120.0, gt=0)
    max_retries: int = key(
        5,
        "Times that a request is sent again after a rate limit, and as many after a fault "
        "(openai).",
        example=0,
        ge=0,
    )
    max_concurrency: int = key(
        32,
        "Most requests under way at once; how many really are adapts to the endpoint (openai).",
        example=8,
        ge=1,
    )
    requests_per_minute: int | None = key(
        None, "Most requests a minute (openai).", example=500, ge=1
    )
    tokens_per_minute: int | None = key(
        None, "Most tokens a minute, sent and received (openai).", example=200_000, ge=1
    )
    price_in: float | None = key(
        None,
        "Price of a million tokens sent; left out, from the package genai-prices if it is "
        "installed and knows the model (openai).",
        example=0.15,
        ge=0,
    )
    price_out: float | None = key(
        None, "Price of a million tokens received; likewise (openai).", example=0.6, ge=0
    )
    device: str | None = key(
        None,
        "Where a local model computes; left out, a GPU if there is one (huggingface).",
        example="cuda:0",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key(
        "auto",
        "Number format of a local model; auto is that of its files (huggingface).",
        example="bfloat16",
    )
    kind: Literal["auto", "causal", "masked", "seq2seq"] = key(
        "auto",
        "Architecture of a local model; auto reads it from its files (huggingface).",
        example="causal",
    )
    chat_template: bool | None = key(
        None,
        "Whether a local model reads the prompt as chat turns; left out, if its files have a "
        "template for them (huggingface).",
        example=False,
        kind="true or false",
    )
    batch_tokens: int = key(
        16_384,
        "Tokens that a local model reads at once; fewer need less memory (huggingface).",
        example=4096,
        ge=1,
    )
    cache: Annotated[Path | None, BeforeValidator(_cache)] = key(
        None,
        "File of paid answers to share with other runs; left out, every site of a run has its own "
        "in the run's directory.",
        example="answers.sqlite",
        kind="path",
    )

    @property
    def options(self) -> dict[str, Any]:
        """What the provider is made with: its keys with their values, unset ones left out."""
        names = ("feedback", *_OPTIONS[self.provider])
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        """Return the number of votes that an answer takes, with that feedback."""
        return {"votes": 5} if given.get("feedback") == "votes" else {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in (*self._unused(), *self._unfit()):
            raise problem
        return self

    def idle(self) -> set[str]:
        """Return the keys that have no effect with this provider."""
        return set(type(self).model_fields) - {*_ALWAYS, *_KEYS[self.provider]}

    def _unused(self) -> Iterator[SettingError]:
        """Find keys that were given and have no effect."""
        for name in sorted(self.model_fields_set & self.idle()):
            yield SettingError(name, f'has no effect with provider "{self.provider}": remove it')
        if self.votes is not None and self.feedback != "votes":
            yield SettingError("votes", f'has no effect with feedback "{self.feedback}": remove it')

    def _unfit(self) -> Iterator[SettingError]:
        """Find what is missing, and what does not go together."""
        if self.provider != "pocket" and self.model is None:
            yield SettingError("model", f'is missing: provider "{self.provider}" needs its name')
        if self.feedback not in _FEEDBACK[self.provider]:
            choices = ", ".join(f'"{choice}"' for choice in _FEEDBACK[self.provider])
            yield SettingError("feedback", f'is one of {choices} with provider "{self.provider}"')
        for name in filter(_SECRET.search, self.extra_body):
            yield SettingError(
                "extra_body", f'holds a secret in "{name}", which would be written into the record'
            )
        if self.feedback == "votes" and self.temperature == 0:
            yield SettingError("temperature", "is 0, where all votes are the same: raise it")
        if (self.price_in is None) != (self.price_out is None):
            missing = "price_in" if self.price_in is None else "price_out"
            yield SettingError(missing, "is missing: prices come in pairs")
