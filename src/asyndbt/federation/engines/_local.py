"""The engine for one machine: asyncio, real time, workers really concurrent.

Waiting for language models is where time goes, so sites wait side by side on one event loop. With
a model that answers without waiting (the pocket model) a piece of work is done in one go, and the
order of everything that happens follows from the order in which work was handed out: such a run,
interrupted and resumed, is the run that was not interrupted.

In one process a task that lives is a sign of life: a lease ends for sites alone that never join.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Report
from asyndbt.federation.engines._base import Channel, Inbox, Site, handle_assignment, stopwatch

_Task = asyncio.Task[Report | Exception]


class LocalEngine:
    """Runs every site as a task of one event loop.

    Parameters
    ----------
    wire : Wire
    elapsed : float
        Seconds that earlier sessions of the run have taken.
    """

    def __init__(self, wire: Channel | None = None, elapsed: float = 0.0) -> None:
        self.wire = wire or Channel()
        self._seconds: Callable[[], float] = lambda: elapsed

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self._seconds()

    async def run(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        changed: Callable[[float], None],
    ) -> None:
        """Run until the coordinator is done."""
        self._seconds = stopwatch(self.now())
        desk = Inbox(self.wire, coordinator)
        finished: asyncio.Queue[_Task] = asyncio.Queue()
        working: dict[str, _Task] = {}

        def send(assignments: list[Assignment]) -> None:
            for assignment in assignments:
                carried = self.wire.carry(assignment, "in")
                assert isinstance(carried, Assignment)
                task = asyncio.create_task(
                    handle_assignment(sites[carried.site], carried), name=carried.site
                )
                working[carried.site] = task
                task.add_done_callback(finished.put_nowait)

        send(coordinator.outstanding())
        for name, site in sites.items():
            if not coordinator.roster[name].live:
                desk.take(name, site.worker.join(), self.now())
        try:
            while True:
                given = coordinator.assignments(self.now())
                changed(self.now())
                send(given)
                if coordinator.phase == "done":
                    return
                if not working and coordinator.deadline() is None:
                    raise desk.nobody_left()
                task = await self._next(coordinator, finished)
                now = self.now()
                if (coordinator.deadline() or 0.0) <= now:
                    for name in working:
                        coordinator.keep(name, now)
                if task is None:
                    coordinator.advance(now)
                else:
                    del working[task.get_name()]
                    desk.take(task.get_name(), task.result(), now)
        finally:
            for task in working.values():
                task.cancel()

    async def _next(self, coordinator: Coordinator, finished: asyncio.Queue[_Task]) -> _Task | None:
        """Wait for the next piece of work to be done; None if a lease ends first."""
        if finished.qsize():
            return finished.get_nowait()
        deadline = coordinator.deadline()
        wait = None if deadline is None else max(0.0, deadline - self.now())
        try:
            return await asyncio.wait_for(finished.get(), wait)
        except TimeoutError:
            return None
