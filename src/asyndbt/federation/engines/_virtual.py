"""The engine with a virtual clock: every schedule of late, dead and returning sites in moments.

The delay of a piece of work follows from the seed, the site and the number of the work alone, so
a run is repeatable, and a resumed run meets the same delays.
"""

from __future__ import annotations

import heapq
import itertools
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Join, Message
from asyndbt.federation.engines._base import Channel, Inbox, Site, handle_assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long work takes, in virtual seconds.

    Parameters
    ----------
    kind : {"constant", "lognormal", "pareto"}
        Shape of the distribution; ``pareto`` has the heavy tail.
    mean : float
        Mean seconds per piece of work.
    sigma : float
        Standard deviation of the logarithm (lognormal).
    shape : float
        Tail index, > 1 (pareto).
    slow : mapping of str to float
        Factor by which a site is slower.
    dead : mapping of str to float
        Second at which a site dies: work in its hands is lost.
    rejoin : mapping of str to float
        Second at which a dead site is back.
    seed : int
    """

    kind: Literal["constant", "lognormal", "pareto"] = "lognormal"
    mean: float = 1.0
    sigma: float = 0.5
    shape: float = 2.0
    slow: Mapping[str, float] = field(default_factory=dict)
    dead: Mapping[str, float] = field(default_factory=dict)
    rejoin: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def seconds(self, site: str, work: int) -> float:
        """Return how long the piece of work with this number takes at the site."""
        rng = np.random.default_rng([self.seed, zlib.crc32(site.encode()), work])
        match self.kind:
            case "constant":
                delay = self.mean
            case "lognormal":
                delay = self.mean * rng.lognormal(-(self.sigma**2) / 2, self.sigma)
            case "pareto":
                delay = self.mean * (self.shape - 1) / self.shape * (1 + rng.pareto(self.shape))
        return float(delay * self.slow.get(site, 1.0))

    def lost(self, site: str, start: float, end: float) -> bool:
        """Whether the site dies, or is dead, between two moments."""
        death, back = self.dead.get(site), self.rejoin.get(site, float("inf"))
        return death is not None and start < back and end >= death


class VirtualEngine:
    """Runs all sites in one thread, in the order of a virtual clock.

    Parameters
    ----------
    delays : Delays
    wire : Wire
    elapsed : float
        Virtual seconds at which the run stands.
    """

    def __init__(self, delays: Delays, wire: Channel | None = None, elapsed: float = 0.0) -> None:
        self.wire = wire or Channel()
        self._delays, self._now = delays, elapsed
        self._events: list[tuple[float, int, int, str, Message | Exception]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Virtual seconds since the start of the run."""
        return self._now

    async def run(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        changed: Callable[[float], None],
    ) -> None:
        """Run until the coordinator is done."""
        desk = Inbox(self.wire, coordinator)
        for work in coordinator.unanswered():
            sent_at = coordinator.roster[work.site].sent_at
            await self._send(work, sites[work.site], sent_at)
        for name, site in sites.items():
            self._announce(name, site.worker.join(), coordinator)
        while True:
            given = coordinator.assignments(self._now)
            changed(self._now)
            for work in given:
                await self._send(work, sites[work.site], self._now)
            if coordinator.phase == "done":
                return
            self._next(coordinator, desk)

    def _announce(self, name: str, join: Join, coordinator: Coordinator) -> None:
        """Put a site's joining, and its return from the dead, on the clock."""
        member = coordinator.roster[name]
        # A site whose lease ran out over its work comes back with the answer, if at all.
        known = member.live or member.given_up is not None
        if not known and not self._delays.lost(name, self._now, self._now):
            self._push(self._now, 0, name, join)
        back = self._delays.rejoin.get(name)
        if back is not None and back > self._now:
            self._push(back, 0, name, join)

    async def _send(self, work: Assignment, site: Site, sent_at: float) -> None:
        """Have the work done, unless its site dies over it, and put the report on the clock."""
        carried = self.wire.carry(work, "in")
        assert isinstance(carried, Assignment)
        arrival = sent_at + self._delays.seconds(work.site, work.id)
        if self._delays.lost(work.site, sent_at, arrival):
            return
        self._push(arrival, work.id, work.site, await handle_assignment(site, carried))

    def _push(self, when: float, work: int, site: str, item: Message | Exception) -> None:
        # Of things at the same moment the order is that of the work, also after a resume.
        heapq.heappush(self._events, (when, work, next(self._order), site, item))

    def _next(self, coordinator: Coordinator, desk: Inbox) -> None:
        """Move the clock to the next arrival or the end of a lease, whichever is first."""
        deadline = coordinator.deadline()
        arrival = self._events[0][0] if self._events else float("inf")
        if deadline is not None and deadline < arrival:
            self._now = deadline
            coordinator.advance(deadline)
        elif self._events:
            self._now, _, _, site, item = heapq.heappop(self._events)
            desk.take(site, item, self._now)
        else:
            raise desk.nobody_left()
