"""Running a coroutine to its end from ordinary code, in a notebook too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["run_sync"]

T = TypeVar("T")


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop of its own and return its result.

    Where an event loop runs already, as in a notebook, the new one gets a thread; the caller waits
    for it all the same. Ctrl-C meanwhile cancels the work.

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
        return asyncio.run(work)
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def announced() -> T:
        begun.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    with ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(asyncio.run, announced())
        try:
            return running.result()
        except BaseException:
            for loop, task in begun:
                if task is not None:
                    with suppress(RuntimeError):  # the loop is closed: the work ended by itself
                        loop.call_soon_threadsafe(task.cancel)
            raise
