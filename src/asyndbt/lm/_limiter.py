"""Limits on concurrent requests and on requests and tokens per minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

_MINUTE: Final = 60.0


class Limiter:
    """Adaptive concurrency and caps per minute, shared by all users of one provider key.

    The number of concurrent requests rises by one with every answer until the first rejection, then
    by one per round of answers.  A rejection halves it, once for all requests sent before the last
    halving (additive increase, multiplicative decrease as in TCP: Chiu and Jain, 1989).  For one
    event loop at a time.

    Parameters
    ----------
    most : int
        Most concurrent requests.
    first : int
        Concurrent requests before anything is known of the endpoint.
    requests_per_minute, tokens_per_minute : int or None
        Caps on any 60 seconds; None is no cap.
    clock, sleep : callable
        Monotonic seconds, and waiting for a number of seconds.

    Examples
    --------
    >>> limiter = Limiter(most=8)
    >>> async def one() -> int:
    ...     async with limiter.slot() as sent:
    ...         limiter.answered()
    ...         return limiter.allowed
    >>> asyncio.run(one())
    5
    """

    def __init__(
        self,
        most: int = 32,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        *,
        first: int = 4,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.most = most
        self._requests, self._tokens = requests_per_minute, tokens_per_minute
        self._clock, self._sleep = clock, sleep
        self._limit = float(min(first, most))
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sent: deque[tuple[float, int]] = deque()
        self._sent_tokens = 0
        self._halved_at: float | None = None
        self._closed_until = float("-inf")

    @property
    def allowed(self) -> int:
        """Most concurrent requests at present."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self, tokens: int = 0) -> AsyncIterator[float]:
        """Wait until a request of about `tokens` tokens may be sent; yields the time of sending."""
        await self._take_place()
        try:
            while (wait := self._seconds_to_wait(tokens)) > 0:
                await self._sleep(wait)
            now = self._clock()
            self._sent.append((now, tokens))
            self._sent_tokens += tokens
            yield now
        finally:
            self._in_flight -= 1
            self._call_next()

    def answered(self) -> None:
        """Note an answer."""
        growth = 1.0 if self._halved_at is None else 1.0 / self._limit
        self._limit = min(float(self.most), self._limit + growth)
        self._call_next()

    def turned_away(self, sent_at: float, retry_after: float | None = None) -> None:
        """Note a rejection for the rate of the request that `slot` released at `sent_at`."""
        now = self._clock()
        if self._halved_at is None or sent_at > self._halved_at:
            self._limit = max(1.0, self._limit / 2)
            self._halved_at = now
        if retry_after is not None:
            self._closed_until = max(self._closed_until, now + retry_after)

    async def _take_place(self) -> None:
        if self._in_flight < self.allowed and not self._waiting:
            self._in_flight += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                # The place was given at the same moment: pass it on.
                self._in_flight -= 1
                self._call_next()
            raise

    def _call_next(self) -> None:
        while self._waiting and self._in_flight < self.allowed:
            place = self._waiting.popleft()
            if not place.done():
                self._in_flight += 1
                place.set_result(None)

    def _seconds_to_wait(self, tokens: int) -> float:
        """Seconds until the endpoint accepts requests and the last minute has room."""
        now = self._clock()
        while self._sent and self._sent[0][0] <= now - _MINUTE:
            self._sent_tokens -= self._sent.popleft()[1]
        full = (self._requests is not None and len(self._sent) >= self._requests) or (
            # A request larger than the cap goes alone.
            self._tokens is not None
            and bool(self._sent)
            and self._sent_tokens + tokens > self._tokens
        )
        room = self._sent[0][0] + _MINUTE - now if full else 0.0
        return max(room, self._closed_until - now, 0.0)
