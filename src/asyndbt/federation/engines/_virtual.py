"""The engine with a virtual clock: simulates slow, dead and returning sites without waiting.

The delay of a piece of work depends on the seed, the site and the number of the work only, so a
run is repeatable, and a resumed run meets the same delays.
"""

from __future__ import annotations

import heapq
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Message
from asyndbt.federation.engines._base import Channel, Engine, Site, handle_assignment


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
        Second at which a site dies; the work that it holds is lost.
    rejoin : mapping of str to float
        Second at which a dead site returns.
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
        """Whether the site dies, or is dead, between two times."""
        death, back = self.dead.get(site), self.rejoin.get(site, float("inf"))
        return death is not None and start < back and end >= death


class VirtualEngine(Engine):
    """Runs all sites in one thread, in the order of a virtual clock.

    Parameters
    ----------
    coordinator : Coordinator
    sites : mapping of str to Site
    delays : Delays
    channel : Channel, optional
    elapsed : float
        Virtual seconds that earlier sessions of the run have taken.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        delays: Delays,
        channel: Channel | None = None,
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(coordinator, channel, elapsed)
        self._sites, self._delays, self._now = sites, delays, elapsed
        self._arrivals: list[tuple[float, int, int, str, Message | Exception]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Virtual seconds since the start of the run."""
        return self._now

    async def _open(self) -> None:
        for work in self._coordinator.unanswered():
            await self._send_at(work, self._coordinator.roster[work.site].sent_at)
        for name, site in self._sites.items():
            self._schedule_joins(name, site)

    def _schedule_joins(self, name: str, site: Site) -> None:
        """Schedule when a site joins, and when it returns from the dead."""
        join, member = site.join(), self._coordinator.roster[name]
        # A site whose lease ran out over its work comes back with the answer, if at all.
        known = member.live or member.given_up is not None
        if not known and not self._delays.lost(name, self._now, self._now):
            self._schedule(self._now, 0, name, join)
        back = self._delays.rejoin.get(name)
        if back is not None and back > self._now:
            self._schedule(back, 0, name, join)

    async def _send(self, assignment: Assignment) -> None:
        await self._send_at(assignment, self._now)

    async def _send_at(self, work: Assignment, sent_at: float) -> None:
        """Have the work done, unless its site dies over it, and schedule the report's arrival."""
        carried = self.channel.carry(work, "in")
        assert isinstance(carried, Assignment)
        arrival = sent_at + self._delays.seconds(work.site, work.id)
        if self._delays.lost(work.site, sent_at, arrival):
            return
        item = await handle_assignment(self._sites[work.site], carried)
        self._schedule(arrival, work.id, work.site, item)

    def _schedule(self, when: float, work: int, site: str, item: Message | Exception) -> None:
        # Arrivals at the same time are in the order of their work, also after a resume.
        heapq.heappush(self._arrivals, (when, work, next(self._order), site, item))

    async def _receive(self) -> bool:
        deadline = self._coordinator.deadline()
        arrival = self._arrivals[0][0] if self._arrivals else float("inf")
        if deadline is not None and deadline < arrival:
            self._now = deadline
            self._coordinator.advance(deadline)
        elif self._arrivals:
            self._now, _, _, site, item = heapq.heappop(self._arrivals)
            self._inbox.take(site, item, self._now)
        else:
            return False
        return True
