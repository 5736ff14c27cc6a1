"""Limits and retries of requests to an endpoint: how many, how often again, and after how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Self

from asyndbt._section import Section, key
from asyndbt.errors import RateLimitError, TransientError
from asyndbt.lm._limiter import Limiter

_LONGEST_DELAY: Final = 60.0
_LONGEST_PAUSE: Final = 600.0
"""Seconds of Retry-After beyond which a run stops, to be resumed later."""


class RemoteOptions(Section):
    """Options: how an endpoint is asked."""

    max_retries: int = key(
        5,
        "Times that a request is sent again after a rate limit, and as many after a fault.",
        example=0,
        ge=0,
    )
    max_concurrency: int = key(
        32,
        "Most requests under way at once; how many really are adapts to the endpoint.",
        example=8,
        ge=1,
    )
    requests_per_minute: int | None = key(None, "Most requests a minute.", example=500, ge=1)
    tokens_per_minute: int | None = key(
        None, "Most tokens a minute, sent and received.", example=200_000, ge=1
    )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How requests to an endpoint are limited and retried.

    Parameters
    ----------
    limiter : Limiter
        Of the provider key.
    max_retries : int
        Retries after rate limits, and as many after faults.
    first_delay : float
        Seconds before the first retry; doubled each time, up to 60, and drawn from the upper half
        so that requests do not come back together.
    sleep : callable
        Waits a number of seconds.
    """

    limiter: Limiter = field(default_factory=Limiter)
    max_retries: int = 5
    first_delay: float = 0.5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @classmethod
    def of(cls, options: Section) -> Self:
        if not isinstance(options, RemoteOptions):
            return cls()
        limiter = Limiter(
            options.max_concurrency, options.requests_per_minute, options.tokens_per_minute
        )
        return cls(limiter, options.max_retries)

    def delay(self, times: int, wished: float | None, rng: random.Random) -> float:
        """Return the seconds before a request is sent again, after `times` faults of its kind.

        `wished` are the seconds for which the endpoint asks, if it does.
        """
        longest = min(_LONGEST_DELAY, self.first_delay * 2.0 ** (times - 1))
        return (wished or 0.0) + longest * rng.uniform(0.5, 1.0)


def asks_too_long(error: RateLimitError | TransientError) -> bool:
    """Whether an endpoint asks to wait longer than a run waits."""
    return error.retry_after is not None and error.retry_after > _LONGEST_PAUSE
