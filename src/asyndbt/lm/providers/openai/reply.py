"""What an endpoint sends back: a chat completion, read with care."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Choice", "Reply", "Token", "read_reply"]

_FILTERED: Final = ("content_filter", "refusal", "safety", "sensitive")
"""Reasons for which endpoints stop an answer; some append details."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer with what might have stood in its place.

    Parameters
    ----------
    piece : bytes
        Its text in UTF-8; a token may be part of a character.
    log_probability : float
        Natural logarithm.
    alternatives : tuple of (bytes, float)
        The most probable tokens here, this one usually among them, with their log-probabilities.
    """

    piece: bytes
    log_probability: float
    alternatives: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of a reply.

    Parameters
    ----------
    text : str
        Without the thoughts that some servers put before it.
    cut : bool
        Whether it ended because it may have no more tokens.
    filtered : bool
        Whether the provider refused to answer.
    tokens : tuple of Token or None
        None where the reply has no log-probabilities.
    """

    text: str
    cut: bool
    filtered: bool
    tokens: tuple[Token, ...] | None

    @property
    def thinking(self) -> bool:
        """Whether all there is are thoughts, told or hidden, that were cut off."""
        return self.cut and (not self.text.strip() or self.text.lstrip().startswith("<think>"))


@dataclass(frozen=True, slots=True)
class Reply:
    """A chat completion.

    Parameters
    ----------
    choices : tuple of Choice
        May be empty.
    tokens_in, tokens_out : int or None
        As the endpoint counts them; None where it does not.
    model : str
        What the model says it is, or an empty text.
    """

    choices: tuple[Choice, ...]
    tokens_in: int | None
    tokens_out: int | None
    model: str


def read_reply(body: str) -> Reply:
    """Read the body of a chat completion.

    Raises
    ------
    ValueError
        If it is not JSON, or not a chat completion.

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
    return Reply(
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
    piece, log_probability = _piece(data)
    return Token(piece, log_probability, _alternatives(data.get("top_logprobs") or ()))


def _alternatives(data: Sequence[Mapping[str, Any]]) -> tuple[tuple[bytes, float], ...]:
    return tuple(map(_piece, data))


def _piece(data: Mapping[str, Any]) -> tuple[bytes, float]:
    given = data.get("bytes")
    piece = data["token"].encode("utf-8", "replace") if given is None else bytes(given)
    log_probability = float(data["logprob"])
    return piece, -math.inf if math.isnan(log_probability) else min(log_probability, 0.0)
