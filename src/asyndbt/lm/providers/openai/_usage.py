"""What requests cost: tokens, counted without the model's tokenizer, and money."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from asyndbt.lm._base import Usage
from asyndbt.lm.providers.openai._replies import Completion

_PER_MESSAGE: Final = 4
_PER_REQUEST: Final = 3
_MOST_PER_MESSAGE: Final = 8
_MOST_PER_REQUEST: Final = 32
_MARGIN: Final = 1.3
"""Factor by which a prompt may be denser than any seen."""
_LONGEST_TOKEN: Final = 16
"""Bytes of a token, in the mean of any text: an endpoint that counts fewer tokens miscounts."""
_MOST_UNSEEN: Final = 100_000
"""Tokens that an endpoint may add out of sight: instructions of its own, hidden thoughts."""


@dataclass(frozen=True, slots=True)
class Size:
    """Measures of a request's text: bytes in UTF-8, ASCII characters, others; and its messages."""

    octets: int
    narrow: int
    wide: int
    messages: int

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Size:
        """Measure what `Api.content` returned.

        Examples
        --------
        >>> Size.of({"messages": [{"role": "user", "content": "né"}]})
        Size(octets=3, narrow=1, wide=1, messages=1)
        >>> Size.of({"prompt": "né"})
        Size(octets=3, narrow=1, wide=1, messages=0)
        """
        messages = content.get("messages", ())
        texts = [message["content"] for message in messages] or [content["prompt"]]
        octets = sum(len(text.encode("utf-8", "replace")) for text in texts)
        narrow = sum(
            len(text) if text.isascii() else len(text.encode("ascii", "ignore")) for text in texts
        )
        return cls(octets, narrow, sum(map(len, texts)) - narrow, len(messages))


class TokenCounter:
    """Bounds and estimates of tokens, refined by every reply.

    No tokenizer makes more tokens than bytes, apart from a chat template.  Replies then tell the
    real number of tokens per byte.  `most` and `mean` are tokens per byte of text without the
    template, `most_out` and `mean_out` tokens of the answers to one request.

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
        self.most, self.mean, self.most_out, self.mean_out = most, mean, most_out, mean_out
        self._replies, self._answers = int(mean is not None), int(mean_out is not None)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls(
            facts.get("tokens_per_byte"),
            facts.get("tokens_per_byte_mean"),
            facts.get("tokens_out", 0),
            facts.get("tokens_out_mean"),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What was learned, for `from_facts`."""
        return {
            "tokens_per_byte": self.most,
            "tokens_per_byte_mean": self.mean,
            "tokens_out": self.most_out,
            "tokens_out_mean": self.mean_out,
        }

    def learn(self, octets: int, messages: int, tokens: int) -> None:
        """Learn the tokens of a request of a number of bytes and messages."""
        if octets == 0:
            return
        ratio = max(0.0, tokens - _PER_MESSAGE * messages - _PER_REQUEST) / octets
        self.most = max(self.most or 0.0, ratio)
        self._replies += 1
        self.mean = (self.mean or 0.0) + (ratio - (self.mean or 0.0)) / self._replies

    def learn_answer(self, tokens: int) -> None:
        self.most_out = max(self.most_out, tokens)
        self._answers += 1
        self.mean_out = (self.mean_out or 0.0) + (tokens - (self.mean_out or 0.0)) / self._answers

    def bound(self, size: Size) -> int:
        """Upper bound of the tokens of a request."""
        frame = _MOST_PER_MESSAGE * size.messages + _MOST_PER_REQUEST
        if self.most is None:
            return size.octets + frame
        per_byte = min(_MARGIN * self.most, 1.0) if self.most <= 1.0 else _MARGIN * self.most
        return math.ceil(per_byte * size.octets) + frame

    def expect(self, size: Size) -> int:
        """Likely number of tokens of a request."""
        text = size.narrow / 4 + size.wide if self.mean is None else self.mean * size.octets
        return round(text) + _PER_MESSAGE * size.messages + _PER_REQUEST

    def expect_answer(self, most: int) -> int:
        """Likely number of tokens of the answers to a request; `most` if none was seen."""
        return most if self.mean_out is None else min(most, math.ceil(self.mean_out))


_SAMPLE = 1000
"""Tokens whose price is looked up, below all thresholds of prices that depend on length."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one request, of a token sent and of one received; zeros if not `known`."""

    call: float = 0.0
    token_in: float = 0.0
    token_out: float = 0.0
    known: bool = False

    def money(self, tokens_in: int, tokens_out: int) -> float:
        """Price of one request.

        Examples
        --------
        >>> Prices(token_in=0.25, token_out=0.5).money(tokens_in=4, tokens_out=2)
        2.0
        """
        return self.call + self.token_in * tokens_in + self.token_out * tokens_out


def find_prices(
    model: str, base_url: str | None, price_in: float | None, price_out: float | None
) -> Prices:
    """Return given prices per million tokens, or look them up offline.

    All prices are 0 if the package genai-prices is missing or does not know the model.

    Examples
    --------
    >>> find_prices("any", None, price_in=2.0, price_out=8.0).money(1_000_000, 0)
    2.0
    """
    if price_in is not None and price_out is not None:
        return Prices(0.0, price_in / 1e6, price_out / 1e6, known=True)
    try:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price
    except ImportError:
        return Prices()

    def total(tokens_in: int, tokens_out: int) -> float:
        usage = Tokens(input_tokens=tokens_in, output_tokens=tokens_out)
        if base_url is None:
            found = calc_price(usage, model, provider_id="openai")
        else:
            found = calc_price(usage, model, provider_api_url=base_url)
        return float(found.total_price)

    try:
        call = total(0, 0)
        sent, received = total(_SAMPLE, 0) - call, total(0, _SAMPLE) - call
    except (LookupError, ValueError):
        return Prices()
    return Prices(call, sent / _SAMPLE, received / _SAMPLE, known=True)


class Meter:
    """Bounds, estimates and records the cost of requests; looks prices up when needed."""

    def __init__(self, prices: Callable[[], Prices], counter: TokenCounter | None = None) -> None:
        self._find, self.counter = prices, counter or TokenCounter()

    @cached_property
    def prices(self) -> Prices:
        return self._find()

    def bound(self, size: Size, most_out: int) -> Usage:
        """Upper bound of the cost of a request that allows answers of `most_out` tokens."""
        # Some endpoints exceed the limit.
        return self._usage(self.counter.bound(size), max(most_out, self.counter.most_out))

    def expect(self, size: Size, most_out: int, *, usual: bool = True) -> Usage:
        most = max(most_out, self.counter.most_out)
        answer = self.counter.expect_answer(most) if usual else most
        return self._usage(self.counter.expect(size), answer)

    def book(self, size: Size, most_out: int, reply: Completion, *, usual: bool = True) -> Usage:
        """Learn from a reply and return its cost: as reported if that is possible, or its bound.

        A cap of tokens or money ends a run whatever an endpoint reports. An answer that is not as
        long as `usual` says nothing of others.
        """
        bound = self.bound(size, most_out)
        tokens_in = _possible(reply.tokens_in, size.octets, bound.tokens_in)
        tokens_out = _possible(reply.tokens_out, reply.octets, bound.tokens_out)
        if tokens_in is not None:
            self.counter.learn(size.octets, size.messages, tokens_in)
        if tokens_out is not None and usual:
            self.counter.learn_answer(tokens_out)
        return self._usage(
            bound.tokens_in if tokens_in is None else tokens_in,
            bound.tokens_out if tokens_out is None else tokens_out,
        )

    def _usage(self, tokens_in: int, tokens_out: int) -> Usage:
        return Usage(1, tokens_in, tokens_out, self.prices.money(tokens_in, tokens_out))


def _possible(reported: int | None, octets: int, bound: int) -> int | None:
    """Return a reported number of tokens if a text of so many bytes may have them, else None."""
    most = bound + _MOST_UNSEEN
    possible = reported is not None and octets <= _LONGEST_TOKEN * reported and reported <= most
    return reported if possible else None
