"""The keys of [lm] that only the provider ``openai`` reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, ValidationInfo, model_validator

from asyndbt._section import Section, SettingError, key
from asyndbt.lm._retries import RemoteOptions
from asyndbt.lm.providers.openai._requests import OWN_FIELDS, ApiName

_VOTES: Final = 5
_ANSWER_TOKENS: Final = 256
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,39}")
"""What is surely the name of a variable, and no key in its place."""
_SECRET: Final = re.compile(
    r"(api|access|auth|private)[-_]?(key|token)|^(key|token|sig)$|secret|password|signature|"
    r"authorization",
    re.IGNORECASE,
)


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value) and not os.environ.get(value):
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


class _RequestOptions(Section):
    """Where requests go, and what is in them."""

    model: str = key(..., "The model's name at the endpoint.", example="gpt-4o-mini", min_length=1)
    base_url: Annotated[str, AfterValidator(_address)] | None = key(
        None,
        "Address of the endpoint, up to and without /chat/completions or /completions; left out, "
        "that of OpenAI.",
        example="http://localhost:8000/v1",
        min_length=1,
    )
    api: ApiName = key(
        "chat",
        'How prompts are put: as messages of a chat, or, with "completions", as one text that the '
        "model continues: for base models, which know no chat.",
        example="completions",
    )
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = key(
        None,
        "Name of the environment variable that holds the key; left out, OPENAI_API_KEY for OpenAI "
        "and no key for any other address.",
        example="OPENAI_API_KEY",
    )
    system: str | None = key(
        None,
        "System message of a chat; {labels} stands for the label words, and an empty text sends "
        "none. Left out, it asks for one of the label words, or for the answer and nothing else.",
        example="Answer with one of: {labels}.",
        kind="text",
    )
    votes: int | None = key(
        None,
        'Answers sampled per prompt, feedback "votes"; 5 if left out.',
        example=9,
        ge=2,
        le=128,
    )
    temperature: float | None = key(
        None,
        'Sampling temperature; left out, 1 for feedback "votes" and 0 otherwise.',
        example=0.7,
        ge=0,
        le=2,
    )
    max_tokens: int | None = key(
        None,
        "Most tokens of an answer; left out, what the label words need, or 256 with a reward. A "
        "model that thinks before it answers needs more.",
        example=512,
        ge=1,
    )
    extra_body: dict[str, Any] = key(
        {},
        "Further fields of every request, for what one endpoint alone knows.",
        example={"enable_thinking": False},
        kind="table",
    )
    timeout: float = key(60.0, "Seconds that a request may take.", example=120.0, gt=0)


class OpenAIOptions(RemoteOptions, _RequestOptions):
    """Options: an endpoint that speaks OpenAI's protocol, hosted or on one's own machine."""

    leading: ClassVar[tuple[str, ...]] = ("model", "base_url", "api", "api_key_env")

    price_in: float | None = key(
        None,
        "Price of a million tokens sent; left out, from the package genai-prices if it is "
        "installed and knows the model.",
        example=0.15,
        ge=0,
    )
    price_out: float | None = key(
        None, "Price of a million tokens received; likewise.", example=0.6, ge=0
    )

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        if (info.context or {}).get("reward") is not None:
            return {"max_tokens": _ANSWER_TOKENS}
        return {"votes": _VOTES} if _feedback(info) == "votes" else {}

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        for problem in self._unfit(_feedback(info)):
            raise problem
        return self

    def _unfit(self, feedback: str | None) -> Iterator[SettingError]:
        if self.votes is not None and feedback not in (None, "votes"):
            yield SettingError("votes", f'has no effect with feedback "{feedback}": remove it')
        if self.system is not None and self.api == "completions":
            yield SettingError("system", 'has no effect with api "completions": remove it')
        if taken := sorted(OWN_FIELDS & set(self.extra_body)):
            yield SettingError("extra_body", f"sets {', '.join(taken)}: use the keys of this table")
        for name in filter(_SECRET.search, self.extra_body):
            yield SettingError(
                "extra_body", f'holds a secret in "{name}", which would be written into the record'
            )
        if feedback == "votes" and self.temperature == 0:
            yield SettingError("temperature", "is 0, where all votes are the same: raise it")
        if (self.price_in is None) != (self.price_out is None):
            missing = "price_in" if self.price_in is None else "price_out"
            yield SettingError(missing, "is missing: prices come in pairs")


def _feedback(info: ValidationInfo) -> str | None:
    return (info.context or {}).get("feedback")
