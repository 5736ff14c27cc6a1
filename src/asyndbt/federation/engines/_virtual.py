"""The engine with a virtual clock: simulates slow, dead and returning sites without waiting.

The delay of a piece of work depends on the seed, the site and the number of the work only, so a
run is repeatable, and a resumed run meets the same delays.
"""

from __future__ import annotations

import heapq
import itertools
import math
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from asyndbt._section import Section, SettingError, key
from asyndbt._spelling import composed
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Message
from asyndbt.federation.engines._base import Channel, InProcessEngine, Site, handle_assignment

SiteName = Annotated[str, AfterValidator(composed)]
Factor = Annotated[float, Field(gt=0)]
Second = Annotated[float, Field(ge=0)]


class Delays(Section):
    """[federation.delays]: how long work takes, in virtual seconds, for engine "virtual"."""

    kind: Literal["constant", "lognormal", "pareto"] = key(
        "lognormal", "Distribution of the time that a site takes to answer.", example="pareto"
    )
    mean: float = key(1.0, "Mean time of an answer in seconds.", example=10.0, gt=0)
    sigma: float = key(
        0.5, 'Standard deviation of the logarithm, kind "lognormal".', example=1.0, gt=0
    )
    shape: float = key(
        2.0, 'Tail index, kind "pareto": nearer to 1 is a heavier tail.', example=1.5, gt=1
    )
    slow: dict[SiteName, Factor] = key(
        {}, "Sites that are slower, by a factor.", example={"north": 10.0}, kind="site = factor"
    )
    dead: dict[SiteName, Second] = key(
        {}, "Sites that die, at a second.", example={"north": 60.0}, kind="site = second"
    )
    rejoin: dict[SiteName, Second] = key(
        {},
        "Dead sites that come back, at a second.",
        example={"north": 600.0},
        kind="site = second",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for site, second in self.rejoin.items():
            if second <= self.dead.get(site, math.inf):
                raise SettingError(
                    "rejoin", f'brings "{site}" back before it dies: set a later second than dead'
                )
        return self

    def seconds(self, site: str, work: int, seed: int) -> float:
        """Return how long the piece of work with this number takes at the site."""
        rng = np.random.default_rng([seed, zlib.crc32(site.encode()), work])
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


class VirtualEngine(InProcessEngine):
    """Runs all sites in one thread, in the order of a virtual clock.

    Parameters
    ----------
    coordinator : Coordinator
    sites : mapping of str to Site
    delays : Delays
    channel : Channel, optional
    elapsed : float
        Virtual seconds that earlier sessions of the run have taken.
    seed : int
    """

    name: ClassVar[str] = "virtual"

    def __init__(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        delays: Delays,
        channel: Channel | None = None,
        elapsed: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(coordinator, channel, elapsed)
        self._sites, self._delays, self._now, self._seed = sites, delays, elapsed, seed
        self._arrivals: list[tuple[float, int, int, str, Message | Exception]] = []
        self._order = itertools.count()

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
        """Return an engine with the delays of the configuration."""
        return cls(coordinator, sites, federation["delays"], channel, elapsed, seed)

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
        join, roster = site.join(), self._coordinator.roster
        # A site whose lease ran out over its work comes back with the answer, if at all.
        known = name in roster and (roster[name].live or roster[name].given_up is not None)
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
        arrival = sent_at + self._delays.seconds(work.site, work.id, self._seed)
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
