"""How many tokens a request will have, without the model's tokenizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

__all__ = ["Size", "TokenCounter"]

_PER_MESSAGE: Final = 4
_PER_REQUEST: Final = 3
_MOST_PER_MESSAGE: Final = 8
_MOST_PER_REQUEST: Final = 32
_MARGIN: Final = 1.3
"""How much denser than anything seen a prompt may be."""


@dataclass(frozen=True, slots=True)
class Size:
    """What can be measured of the messages of a request.

    Parameters
    ----------
    octets : int
        Bytes of their texts in UTF-8.
    narrow, wide : int
        Characters that are ASCII, and others.
    messages : int
    """

    octets: int
    narrow: int
    wide: int
    messages: int

    @classmethod
    def of(cls, messages: Iterable[Mapping[str, str]]) -> Size:
        """Measure chat messages.

        Examples
        --------
        >>> Size.of([{"role": "user", "content": "né"}])
        Size(octets=3, narrow=1, wide=1, messages=1)
        """
        texts = [message["content"] for message in messages]
        octets = sum(len(text.encode("utf-8", "replace")) for text in texts)
        narrow = sum(
            len(text) if text.isascii() else len(text.encode("ascii", "ignore")) for text in texts
        )
        return cls(octets, narrow, sum(map(len, texts)) - narrow, len(texts))


class TokenCounter:
    """Bounds and guesses of tokens that get better with every reply.

    No tokenizer makes more tokens than bytes, save for what a chat template adds.  Replies then
    tell how many a byte really has.

    Parameters
    ----------
    most, mean : float or None
        Tokens per byte of text, template aside, as learned before; None if nothing was.
    most_out, mean_out : int, float or None
        Tokens of the answers to one request, likewise.

    Examples
    --------
    >>> counter, size = TokenCounter(), Size(octets=1000, narrow=1000, wide=0, messages=1)
    >>> counter.bound(size), counter.expect(size)
    (1040, 257)
    >>> counter.learn(size.octets, size.messages, tokens=207)
    >>> counter.bound(size), counter.expect(size)
    (300, 207)
    """

    def __init__(
        self,
        most: float | None = None,
        mean: float | None = None,
        most_out: int = 0,
        mean_out: float | None = None,
    ) -> None:
        self.most = most
        self.mean = mean
        self.most_out = most_out
        self.mean_out = mean_out
        self._replies = 0 if mean is None else 1
        self._answers = 0 if mean_out is None else 1

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Go on from what `facts` told."""
        return cls(
            facts.get("tokens_per_byte"),
            facts.get("tokens_per_byte_mean"),
            facts.get("tokens_out", 0),
            facts.get("tokens_out_mean"),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What was learned, as `from_facts` reads it."""
        return {
            "tokens_per_byte": self.most,
            "tokens_per_byte_mean": self.mean,
            "tokens_out": self.most_out,
            "tokens_out_mean": self.mean_out,
        }

    def learn(self, octets: int, messages: int, tokens: int) -> None:
        """Take in that a request of so many bytes and messages had so many tokens."""
        if octets == 0:
            return
        ratio = max(0.0, tokens - _PER_MESSAGE * messages - _PER_REQUEST) / octets
        self.most = max(self.most or 0.0, ratio)
        self._replies += 1
        self.mean = (self.mean or 0.0) + (ratio - (self.mean or 0.0)) / self._replies

    def learn_answer(self, tokens: int) -> None:
        """Take in that the answers to a request had so many tokens."""
        self.most_out = max(self.most_out, tokens)
        self._answers += 1
        self.mean_out = (self.mean_out or 0.0) + (tokens - (self.mean_out or 0.0)) / self._answers

    def bound(self, size: Size) -> int:
        """Upper bound of the tokens of a request."""
        frame = _MOST_PER_MESSAGE * size.messages + _MOST_PER_REQUEST
        if self.most is None:
            return size.octets + frame
        per_byte = _MARGIN * self.most
        return (
            math.ceil((per_byte if self.most > 1.0 else min(1.0, per_byte)) * size.octets) + frame
        )

    def expect(self, size: Size) -> int:
        """How many tokens a request probably has."""
        text = size.narrow / 4 + size.wide if self.mean is None else self.mean * size.octets
        return round(text) + _PER_MESSAGE * size.messages + _PER_REQUEST

    def expect_answer(self, most: int) -> int:
        """How many tokens the answers to a request probably have, `most` if none was seen."""
        return most if self.mean_out is None else min(most, math.ceil(self.mean_out))
