"""Replies of an endpoint, parsed: answers, their tokens, and what they cost."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import Any, Final

from asyndbt.lm._thoughts import Thought
from asyndbt.lm.providers.openai._event_streams import assembled, is_stream

_FILTERED: Final = (
    *("content_filter", "content-filter", "refusal", "safety", "sensitive", "recitation"),
    *("blocklist", "prohibited_content", "spii", "guardrail"),
)
"""Beginnings of the finish reasons of refused answers; some endpoints append details."""
_FAILED: Final = (
    *("error", "fail", "abort", "cancel", "timeout", "network", "insufficient_system_resource"),
    "malformed",
)
"""Beginnings of the finish reasons of answers that an endpoint did not bring to an end."""
_CUT: Final = ("length", "max_tokens", "max_output_tokens")
_THOUGHTS: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Fields in which endpoints tell thoughts apart from the answer."""
_ERROR_FIELDS: Final = ("errors", "detail", "message", "msg", "base_resp")
"""Fields that hold the words of an error, besides ``error``."""
_ESCAPE: Final = re.compile(rb"\\x([0-9a-f]{2})")


class FailedReplyError(Exception):
    """A reply that is an error, whatever its HTTP status; `body` is where its words are."""

    def __init__(self, body: Any) -> None:
        super().__init__("an error in place of a reply")
        self.body = body


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer with its alternatives: the most probable tokens in its place.

    A piece is UTF-8, perhaps part of a character; log-probabilities are natural logarithms.
    """

    piece: bytes
    log_probability: float
    alternatives: tuple[tuple[bytes, float], ...]

    def after(self, octets: int) -> Token:
        """Return the token without its first bytes, and the alternatives that begin with them."""
        head = self.piece[:octets]
        others = (
            (piece[octets:], log) for piece, log in self.alternatives if piece[:octets] == head
        )
        return Token(self.piece[octets:], self.log_probability, tuple(others))


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of a reply.

    `text` is without the thought before it, and empty where a thought does not end; `tokens` are
    those of `text`, after `skipped` ones of the thought, None without log-probabilities.
    """

    text: str
    cut: bool
    filtered: bool
    tokens: tuple[Token, ...] | None
    skipped: int
    thought: Thought
    has_thought: bool

    @property
    def thinking(self) -> bool:
        """Whether the answer consists of thoughts, or of what was cut off before they began."""
        return not self.text.strip() and (self.cut or self.has_thought)

    @property
    def thought_was_open(self) -> bool:
        """Whether a thought has an end alone: the template wrote its beginning."""
        return self.thought.closed and not self.thought.opened


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply; the counts are None where the endpoint gives none, `octets` those of all texts."""

    choices: tuple[Choice, ...]
    tokens_in: int | None
    tokens_out: int | None
    model: str
    octets: int


def read_reply(body: str) -> Completion:
    """Parse the body of a reply: a chat completion, a text completion, or a stream of either.

    Raises ValueError if it is none of them, and FailedReplyError if it is an error.

    Examples
    --------
    >>> reply = read_reply('{"choices": [{"message": {"content": "great"}}]}')
    >>> reply.choices[0].text, reply.tokens_in
    ('great', None)
    >>> read_reply('{"choices": [{"text": " great"}]}').choices[0].text
    ' great'
    """
    try:
        data = assembled(body) if is_stream(body) else json.loads(body)
        _raise_failure(data)
        if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
            raise ValueError("no reply of this kind")
        usage = data.get("usage")
        given = [choice for choice in data["choices"] if not _failed(choice)]
        return Completion(
            tuple(map(_choice, given)),
            *_counts(usage if isinstance(usage, dict) else {}),
            str(data.get("model") or ""),
            sum(map(_octets_said, given)),
        )
    except (AttributeError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("no reply of this kind") from error


def _raise_failure(data: Any) -> None:
    """Raise FailedReplyError if a body is an error, or all of its choices are."""
    if not isinstance(data, dict):
        return
    choices = data.get("choices") or ()
    if data.get("error") or (not choices and any(data.get(name) for name in _ERROR_FIELDS)):
        raise FailedReplyError(data)
    if choices and all(map(_failed, choices)):
        first = choices[0]
        raise FailedReplyError(first.get("error") or f"finish_reason: {first['finish_reason']}")


def _failed(choice: Mapping[str, Any]) -> bool:
    return bool(choice.get("error")) or _reason(choice).startswith(_FAILED)


def _reason(choice: Mapping[str, Any]) -> str:
    return str(choice.get("finish_reason") or "").lower()


def _counts(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens sent and received; what an endpoint has in its total alone was received, too."""
    sent, received, total = (
        next((count for name in names if (count := _count(usage.get(name))) is not None), None)
        for names in (
            ("prompt_tokens", "input_tokens"),
            ("completion_tokens", "output_tokens"),
            ("total_tokens",),
        )
    )
    if sent is not None and received is not None and total is not None:
        received = max(received, total - sent)
    return sent, received


def _count(value: object) -> int | None:
    """Return a whole number, however it is written, None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < math.inf and value == int(value) else None


def _choice(data: Mapping[str, Any]) -> Choice:
    message = _message(data)
    reason, written = _reason(data), _text(message.get("content"))
    thought = Thought.of(written)
    in_field = any(message.get(name) for name in _THOUGHTS)
    scored = _tokens(data.get("logprobs") or {}, written)
    skipped, tokens = _without_thought(scored or (), written if in_field else "")
    return Choice(
        thought.answer(written),
        reason.startswith(_CUT),
        bool(message.get("refusal")) or reason.startswith(_FILTERED),
        None if scored is None else tokens,
        skipped,
        thought,
        in_field or thought.opened or thought.closed,
    )


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    found = choice.get("message") or choice.get("delta")
    return found if isinstance(found, dict) else {"content": choice["text"]}


def _text(content: Any) -> str:
    """Text of a message, which may come in parts, thoughts among them."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [{"text": part} if isinstance(part, str) else part for part in content if part]
    return "".join(
        part.get("text") or "" for part in parts if part.get("type", "text").endswith("text")
    )


def _octets_said(choice: Mapping[str, Any]) -> int:
    """Bytes of the texts of an answer, its thoughts included."""
    message = _message(choice)
    thought = next((message[name] for name in _THOUGHTS if message.get(name)), "")
    said = _text(message.get("content")) + (thought if isinstance(thought, str) else "")
    return len(said.encode("utf-8", "replace"))


# ------------------------------------------------------------------ log-probabilities
_SPACES: Final = "\u0120\u010a\u2581"
"""What vocabularies write for a space, a line break and a space."""
_Piece = tuple[str, list[int] | None, float]
"""A token's text, its bytes where they are given, and its log-probability."""


def _tokens(scored: Mapping[str, Any], written: str) -> tuple[Token, ...] | None:
    """Tokens, given as a list of objects, or as lists side by side, the older form.

    Which of them answers a request for text depends on the server.
    """
    if (objects := scored.get("content")) is not None:
        rows = [(_piece(each), each.get("top_logprobs") or ()) for each in objects if each]
        pieces = [
            (own, [_piece(other) for other in others if _has_value(other)]) for own, others in rows
        ]
    elif (texts := scored.get("tokens")) is not None:
        columns = (scored.get(name) or repeat(None) for name in ("token_logprobs", "top_logprobs"))
        pieces = [
            (
                (text, None, _log(own)),
                [(each, None, _log(top[each])) for each in top or () if top[each] is not None],
            )
            for text, own, top in zip(texts, *columns, strict=False)
        ]
    else:
        return None
    read = _spelling_of([own for own, _ in pieces], written)
    return tuple(
        Token(
            _octets(own, read),
            own[2],
            tuple(dict.fromkeys((_octets(each, read), each[2]) for each in others)),
        )
        for own, others in pieces
    )


def _has_value(data: Mapping[str, Any] | None) -> bool:
    return data is not None and data["logprob"] is not None


def _piece(data: Mapping[str, Any]) -> _Piece:
    given = data.get("bytes")
    return data["token"] or "", given if isinstance(given, list) else None, _log(data["logprob"])


def _log(value: float | None) -> float:
    log_probability = math.nan if value is None else float(value)
    return -math.inf if math.isnan(log_probability) else min(log_probability, 0.0)


def _octets(piece: _Piece, read: Callable[[str], bytes]) -> bytes:
    text, given, _ = piece
    return read(text) if given is None else bytes(given)


def _plain(text: str) -> bytes:
    r"""Bytes of a token that is given by its text alone.

    Examples
    --------
    >>> _plain(" great"), _plain(r"bytes: \xe5\xa5")
    (b' great', b' \xe5\xa5')
    """
    if not text.startswith("bytes:"):
        return text.encode("utf-8", "replace")
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text[6:].encode())


def _byte_level(text: str) -> bytes:
    """Bytes of a token in the alphabet of byte-level vocabularies, with Ġ for a space."""
    table = _alphabet()
    return bytes(table[each] for each in text) if set(text) <= set(table) else _plain(text)


def _sentence_piece(text: str) -> bytes:
    return _plain(text.replace("\u2581", " "))


@cache
def _alphabet() -> dict[str, int]:
    """Bytes by their characters in byte-level vocabularies (GPT-2 and its heirs)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {
        chr(0x100 + place): byte for place, byte in enumerate(hidden)
    }


def _spelling_of(pieces: Sequence[_Piece], written: str) -> Callable[[str], bytes]:
    """Return the spelling of tokens in which they make up the text that was written."""
    if all(given is not None for _, given, _ in pieces):
        return _plain
    for read in (_plain, _sentence_piece, _byte_level):
        said = b"".join(_octets(piece, read) for piece in pieces).decode("utf-8", "replace")
        strange = any(mark in said and mark not in written for mark in _SPACES)
        if written.strip() and said.strip().endswith(written.strip()) and not strange:
            return read
    return _plain


def _without_thought(tokens: Sequence[Token], written: str) -> tuple[int, tuple[Token, ...]]:
    """Count the tokens of a thought, which need not be in the text, and return those after it.

    `written` is the text after a thought that the endpoint tells in another field.
    """
    said = b"".join(token.piece for token in tokens).decode("utf-8", "surrogateescape")
    start = Thought.of(said).start
    if start is None:
        return len(tokens), ()
    if not start and written.strip() and said.rstrip().endswith(written.strip()):
        start = said.rindex(written.strip())
    left = len(said[:start].encode("utf-8", "surrogateescape"))
    for skipped, token in enumerate(tokens):
        if left < len(token.piece) or not left:
            return skipped, (token.after(left), *tokens[skipped + 1 :])
        left -= len(token.piece)
    return len(tokens), ()
