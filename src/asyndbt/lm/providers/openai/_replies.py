"""Replies of an endpoint, parsed: answers, their tokens, and what they cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_FILTERED: Final = ("content_filter", "refusal", "safety", "sensitive")
"""Finish reasons of refused answers; some endpoints append details."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer with its alternatives: the most probable tokens in its place.

    A piece is UTF-8, perhaps part of a character; log-probabilities are natural logarithms.
    """

    piece: bytes
    log_probability: float
    alternatives: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of a reply, without reasoning; `tokens` is None without log-probabilities."""

    text: str
    cut: bool
    filtered: bool
    tokens: tuple[Token, ...] | None

    @property
    def thinking(self) -> bool:
        """Whether the reply was truncated while still reasoning."""
        return self.cut and (not self.text.strip() or self.text.lstrip().startswith("<think>"))


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion; the counts are None where the endpoint gives none."""

    choices: tuple[Choice, ...]
    tokens_in: int | None
    tokens_out: int | None
    model: str


def read_reply(body: str) -> Completion:
    """Parse the body of a chat completion; raises ValueError if it is none.

    Examples
    --------
    >>> reply = read_reply('{"choices": [{"message": {"content": "great"}}]}')
    >>> reply.choices[0].text, reply.tokens_in
    ('great', None)
    """
    data = json.loads(body)
    if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
        raise ValueError("not a chat completion")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    try:
        choices = tuple(map(_choice, data["choices"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a chat completion") from error
    return Completion(
        choices,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        str(data.get("model") or ""),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _choice(data: Mapping[str, Any]) -> Choice:
    message, reason = data["message"], str(data.get("finish_reason") or "").lower()
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    scored = (data.get("logprobs") or {}).get("content")
    return Choice(
        content.rpartition("</think>")[2],
        reason == "length",
        bool(message.get("refusal")) or reason.startswith(_FILTERED),
        None if scored is None else tuple(map(_token, scored)),
    )


def _token(data: Mapping[str, Any]) -> Token:
    return Token(*_piece(data), tuple(map(_piece, data.get("top_logprobs") or ())))


def _piece(data: Mapping[str, Any]) -> tuple[bytes, float]:
    given = data.get("bytes")
    piece = data["token"].encode("utf-8", "replace") if given is None else bytes(given)
    log_probability = float(data["logprob"])
    return piece, -math.inf if math.isnan(log_probability) else min(log_probability, 0.0)
