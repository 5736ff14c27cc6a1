"""Clocks that nothing but the test moves, so that no verdict depends on how fast the machine is."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

__all__ = ["MovedClock", "ToldLoop", "VirtualLoop"]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while anybody has something to do.

    Else it jumps to the moment at which the next sleeper wakes. For work in one thread: nothing
    that comes from outside is waited for.
    """

    def __init__(self) -> None:
        self._moment = 0.0
        super().__init__(_Jumping(self.advance))

    @classmethod
    def running(cls) -> VirtualLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, cls)
        return loop

    def time(self) -> float:
        return self._moment

    def advance(self, seconds: float) -> None:
        """Let time pass during which the loop does not turn, as over work that blocks it."""
        self._moment += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "all wait, and nobody will wake them"
        self._advance(timeout)
        return ready


class ToldLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when it is told, from whatever thread.

    For work that waits for servers: an answer is in time, however long the machine takes over it.
    """

    def __init__(self) -> None:
        self._moment = 0.0
        super().__init__(_Patient())

    def time(self) -> float:
        return self._moment

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.call_soon_threadsafe(self._advance, seconds)

    def _advance(self, seconds: float) -> None:
        self._moment += seconds


class _Patient(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(0 if timeout == 0 else None)


class MovedClock:
    """The part of the module `time` that waits, moved by nothing but its sleepers.

    Parameters
    ----------
    meanwhile : callable
        Is called during every sleep: what goes on elsewhere.
    """

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.now, self.meanwhile = 0.0, meanwhile

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()
