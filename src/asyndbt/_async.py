"""Run a coroutine to completion from synchronous code, also in a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
NewLoop = Callable[[], asyncio.AbstractEventLoop]
"""Makes an event loop, and so says what its clock is."""


def run_sync(work: Coroutine[Any, Any, T], new_loop: NewLoop | None = None) -> T:
    """Run `work` on an event loop of its own and return its result.

    If a loop is already running, as in a notebook, the new one runs in a thread while the caller
    waits. Ctrl-C cancels the work. `new_loop` makes the event loop; by default asyncio does.

    Examples
    --------
    >>> async def answer() -> int:
    ...     return 42
    >>> async def notebook() -> int:
    ...     return run_sync(answer())
    >>> run_sync(answer()), asyncio.run(notebook())
    (42, 42)
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work, new_loop)
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def announced() -> T:
        begun.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    with ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(_run, announced(), new_loop)
        try:
            return running.result()
        except BaseException:
            for loop, task in begun:
                if task is not None:
                    with suppress(RuntimeError):  # the loop is closed: the work ended by itself
                        loop.call_soon_threadsafe(task.cancel)
            raise


def _run(work: Coroutine[Any, Any, T], new_loop: NewLoop | None) -> T:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)
