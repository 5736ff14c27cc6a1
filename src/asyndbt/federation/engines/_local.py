"""The engine for one machine: asyncio, real time, workers really concurrent.

A run's time goes into waiting for language models, so all sites wait concurrently on one event
loop. With a model that answers without waiting (the pocket model) a piece of work is done without
interruption, and the order of all events follows from the order in which work was handed out: such
a run, interrupted and resumed, equals the uninterrupted run.

In one process a running task is a sign of life: leases end only for sites that never join.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Report
from asyndbt.federation.engines._base import Channel, InProcessEngine, Site, handle_assignment

_Task = asyncio.Task[Report | Exception]


class LocalEngine(InProcessEngine):
    """Runs every site as a task of one event loop.

    Parameters
    ----------
    coordinator : Coordinator
    sites : mapping of str to Site
    channel : Channel, optional
    elapsed : float
        Seconds that earlier sessions of the run have taken.
    """

    name: ClassVar[str] = "local"

    def __init__(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        channel: Channel | None = None,
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(coordinator, channel, elapsed)
        self._sites = sites
        self._working: dict[str, _Task] = {}
        self._finished: asyncio.Queue[_Task] = asyncio.Queue()

    @classmethod
    def of(
        cls,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        channel: Channel,
        elapsed: float,
        federation: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Return an engine; nothing in the configuration concerns it."""
        return cls(coordinator, sites, channel, elapsed)

    async def _open(self) -> None:
        self._start_clock()
        for assignment in self._coordinator.outstanding():
            await self._send(assignment)
        for name, site in self._sites.items():
            roster = self._coordinator.roster
            if name not in roster or not roster[name].live:
                self._inbox.take(name, site.join(), self.now())

    async def _send(self, assignment: Assignment) -> None:
        carried = self.channel.carry(assignment, "in")
        assert isinstance(carried, Assignment)
        name = carried.site
        task = asyncio.create_task(handle_assignment(self._sites[name], carried), name=name)
        self._working[name] = task
        task.add_done_callback(self._finished.put_nowait)

    async def _receive(self) -> bool:
        deadline = self._coordinator.deadline()
        if not self._working and deadline is None:
            return False
        task = await self._next_finished(deadline)
        now = self.now()
        if (deadline or 0.0) <= now:
            for name in self._working:
                self._coordinator.keep(name, now)
        if task is None:
            self._coordinator.advance(now)
        else:
            del self._working[task.get_name()]
            self._inbox.take(task.get_name(), task.result(), now)
        return True

    async def _next_finished(self, deadline: float | None) -> _Task | None:
        """Wait for the next piece of work to be done; None if a lease ends first."""
        if self._finished.qsize():
            return self._finished.get_nowait()
        wait = None if deadline is None else max(0.0, deadline - self.now())
        try:
            # Not `asyncio.wait_for`: Python 3.11's loses a cancellation that meets an arrival.
            async with asyncio.timeout(wait):
                return await self._finished.get()
        except TimeoutError:
            return None

    def _close(self) -> None:
        for task in self._working.values():
            task.cancel()
