"""Sending the few requests of a probe, patiently, with an account of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyndbt.errors import ModelError, RateLimitError, TransientError
from asyndbt.lm.providers.openai.reply import Reply
from asyndbt.lm.providers.openai.tokens import Size

__all__ = ["Asking", "Exchange"]

_WAITS: Final = (1.0, 2.0, 4.0, 4.0, 4.0)
_WAITS_TO_CONNECT: Final = _WAITS[:1]
"""An address at which nothing listens is most often a wrong one."""
_LONGEST_WAIT: Final = 60.0
_LOST: Final = Reply((), None, None, "")

Send = Callable[[Mapping[str, Any]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that has to be paid: its size, its most tokens out, its reply, and its seconds."""

    size: Size
    most_out: int
    reply: Reply
    seconds: float


@dataclass
class Asking:
    """Requests, one after the other.

    Parameters
    ----------
    send : callable
        Sends a body, as `Connection.post` does.
    answered, lost : list of Exchange
        Requests with a reply, and those that may have to be paid although their reply, without
        content here, did not arrive.
    sent : int
        All requests, those that were turned down and those that never arrived included.
    """

    send: Send
    answered: list[Exchange] = field(default_factory=list)
    lost: list[Exchange] = field(default_factory=list)
    sent: int = 0

    @property
    def seconds(self) -> float:
        """Mean seconds until a reply."""
        return sum(each.seconds for each in self.answered) / len(self.answered)

    async def ask(self, body: Mapping[str, Any], most_out: int) -> Reply:
        """Send a request, and again after a while where that may help.

        Raises
        ------
        Rejected
            If the endpoint does not take it as it is.
        ModelError
            If there is no reply after all.
        """
        size, failed = Size.of(body["messages"]), 0
        while True:
            self.sent += 1
            start = time.monotonic()
            try:
                reply = await self.send(body)
            except (RateLimitError, TransientError) as error:
                if isinstance(error, TransientError) and error.charged:
                    self.lost.append(Exchange(size, most_out, _LOST, time.monotonic() - start))
                await asyncio.sleep(_wait(error, failed))
                failed += 1
            else:
                self.answered.append(Exchange(size, most_out, reply, time.monotonic() - start))
                return reply


def _wait(error: RateLimitError | TransientError, failed: int) -> float:
    """Seconds before a request is sent again that had failed so many times before."""
    unreached = isinstance(error, TransientError) and error.kind == "connection"
    waits = _WAITS_TO_CONNECT if unreached else _WAITS
    if failed >= len(waits):
        message = f"{error}, {failed + 1} times in a row"
        raise ModelError(message, provider=error.provider, status=error.status) from None
    given = error.retry_after
    return waits[failed] if given is None else min(given, _LONGEST_WAIT)
