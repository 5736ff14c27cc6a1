"""Replies of an endpoint, parsed: answers, their tokens, and what they cost."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

_FILTERED: Final = ("content_filter", "refusal", "safety", "sensitive")
"""Finish reasons of refused answers; some endpoints append details."""
_ESCAPE: Final = re.compile(rb"\\x([0-9a-f]{2})")


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
    """A reply; the counts are None where the endpoint gives none."""

    choices: tuple[Choice, ...]
    tokens_in: int | None
    tokens_out: int | None
    model: str


def read_reply(body: str) -> Completion:
    """Parse the body of a reply, chat completion or text completion; raises ValueError if neither.

    Examples
    --------
    >>> reply = read_reply('{"choices": [{"message": {"content": "great"}}]}')
    >>> reply.choices[0].text, reply.tokens_in
    ('great', None)
    >>> read_reply('{"choices": [{"text": " great"}]}').choices[0].text
    ' great'
    """
    data = json.loads(body)
    if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
        raise ValueError("no reply of this kind")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    try:
        choices = tuple(map(_choice, data["choices"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no reply of this kind") from error
    return Completion(
        choices,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        str(data.get("model") or ""),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _choice(data: Mapping[str, Any]) -> Choice:
    message = data["message"] if "message" in data else {"content": data["text"]}
    reason = str(data.get("finish_reason") or "").lower()
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    return Choice(
        content.rpartition("</think>")[2],
        reason == "length",
        bool(message.get("refusal")) or reason.startswith(_FILTERED),
        _tokens(data.get("logprobs") or {}),
    )


def _tokens(scored: Mapping[str, Any]) -> tuple[Token, ...] | None:
    """Tokens, given as a list of objects, or as lists side by side, the older form.

    Which of them answers a request for text depends on the server.
    """
    if (objects := scored.get("content")) is not None:
        return tuple(map(_token, objects))
    if (texts := scored.get("tokens")) is None:
        return None
    columns = (scored.get(name) or repeat(None) for name in ("token_logprobs", "top_logprobs"))
    return tuple(
        Token(_octets(text), _log(log_probability), _alternatives(top or {}))
        for text, log_probability, top in zip(texts, *columns, strict=False)
    )


def _alternatives(top: Mapping[str, Any]) -> tuple[tuple[bytes, float], ...]:
    return tuple((_octets(text), _log(log_probability)) for text, log_probability in top.items())


def _octets(text: str) -> bytes:
    r"""Bytes of a token that is given by its text alone.

    Examples
    --------
    >>> _octets(" great"), _octets(r"bytes: \xe5\xa5")
    (b' great', b' \xe5\xa5')
    """
    if not text.startswith("bytes:"):
        return text.encode("utf-8", "replace")
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text[6:].encode())


def _token(data: Mapping[str, Any]) -> Token:
    return Token(*_piece(data), tuple(map(_piece, data.get("top_logprobs") or ())))


def _piece(data: Mapping[str, Any]) -> tuple[bytes, float]:
    given = data.get("bytes")
    piece = data["token"].encode("utf-8", "replace") if given is None else bytes(given)
    return piece, _log(data["logprob"])


def _log(value: float | None) -> float:
    log_probability = math.nan if value is None else float(value)
    return -math.inf if math.isnan(log_probability) else min(log_probability, 0.0)
