"""The engine for one machine: asyncio, real time, workers really concurrent.

Waiting for language models is where time goes, so sites wait side by side on one event loop. With
a model that answers without waiting (the pocket model) a piece of work is done in one go, and the
order of everything that happens follows from the order in which work was handed out: such a run,
interrupted and resumed, is the run that was not interrupted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from asyndbt.federation.coordinator import Coordinator
from asyndbt.federation.engines.base import Site, Wire
from asyndbt.federation.messages import Assignment, Report

__all__ = ["LocalEngine"]


class LocalEngine:
    """Runs every site as a task of one event loop.

    Parameters
    ----------
    wire : Wire
    elapsed : float
        Seconds that earlier sessions of the run have taken.
    """

    def __init__(self, wire: Wire | None = None, elapsed: float = 0.0) -> None:
        self.wire = wire or Wire()
        self._start = time.monotonic() - elapsed

    def now(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._start

    async def run(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        changed: Callable[[float], None],
    ) -> None:
        """Run until the coordinator is done; a site's failure ends the run with its error."""
        inbox: asyncio.Queue[Report | BaseException] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()

        async def work(assignment: Assignment) -> None:
            site = sites[assignment.site]
            try:
                report = await site.worker.handle(assignment)
                site.save()
                inbox.put_nowait(report)
            except Exception as error:
                inbox.put_nowait(error)

        def send(assignments: list[Assignment]) -> None:
            for assignment in assignments:
                carried = self.wire.carry(assignment, "in")
                assert isinstance(carried, Assignment)
                task = asyncio.create_task(work(carried))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        send(coordinator.unanswered())
        for name, site in sites.items():
            if not coordinator.roster[name].joined:
                coordinator.receive(self.wire.carry(site.worker.join(), "out"), self.now())
        try:
            while True:
                given = coordinator.assignments(self.now())
                changed(self.now())
                send(given)
                if coordinator.phase == "done":
                    return
                await self._take_in(coordinator, inbox)
        finally:
            for task in tasks:
                task.cancel()

    async def _take_in(
        self, coordinator: Coordinator, inbox: asyncio.Queue[Report | BaseException]
    ) -> None:
        """Hand the next report over, or the time if a lease ends first."""
        deadline = coordinator.deadline()
        wait = None if deadline is None else max(0.0, deadline - self.now())
        try:
            item = (
                inbox.get_nowait() if inbox.qsize() else await asyncio.wait_for(inbox.get(), wait)
            )
        except TimeoutError:
            coordinator.advance(self.now())
            return
        if isinstance(item, BaseException):
            raise item
        coordinator.receive(self.wire.carry(item, "out"), self.now())
