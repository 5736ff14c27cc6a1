"""Who takes part: joined, silent, gone, back; and who holds work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyndbt.federation.messages import Assignment, Spent

__all__ = ["Member", "Roster"]


@dataclass(slots=True)
class Member:
    """One site as the coordinator sees it.

    Parameters
    ----------
    name : str
    index : int
        Its row in the server's arrays.
    joined, gone, exhausted : bool
        Whether it has offered itself, has let its lease run out, has spent its tuning budget.
    heard : float
        Time of its last message, seconds.
    used : int
        Reports of its that server steps have used.
    used_at : int
        Server step in which its last report was used.
    strikes : int
        Reports of its that were refused.
    outstanding : Assignment or None
        The work it holds; at most one piece.
    given_up : Assignment or None
        The work it held when its lease ran out, until it is heard of again.
    sent_at : float
        When that work was handed out, seconds.
    """

    name: str
    index: int
    joined: bool = False
    gone: bool = False
    exhausted: bool = False
    heard: float = 0.0
    used: int = 0
    used_at: int = 0
    strikes: int = 0
    outstanding: Assignment | None = None
    given_up: Assignment | None = None
    sent_at: float = 0.0
    spent: Spent = field(default_factory=Spent)

    @property
    def live(self) -> bool:
        """Whether the site takes part at present."""
        return self.joined and not self.gone

    @property
    def free(self) -> bool:
        """Whether the site could be given work."""
        return self.live and self.outstanding is None


class Roster:
    """All sites of a run, in a fixed order.

    Attributes
    ----------
    busy : int
        Sites that hold work.
    """

    def __init__(self, names: Sequence[str], lease: float, started: float = 0.0) -> None:
        self._members = {name: Member(name, index) for index, name in enumerate(names)}
        self._lease = lease
        self._started = started
        self._horizon = started
        self.busy = 0

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def add(self, name: str) -> Member:
        """Take in a site that nobody expected, as the last in order."""
        self._members[name] = Member(name, len(self._members))
        return self._members[name]

    def live(self) -> list[Member]:
        """Sites that take part at present."""
        return [member for member in self if member.live]

    def awaited(self) -> bool:
        """Whether an expected site may still join before its lease runs out."""
        return any(not member.joined and not member.gone for member in self)

    def hand_out(self, member: Member, work: Assignment, now: float) -> None:
        """Note that the site holds this work from now on."""
        member.outstanding, member.sent_at = work, now
        self.busy += 1

    def take_back(self, member: Member) -> Assignment | None:
        """Note that the site holds no work any more, and return what it held."""
        work, member.outstanding, member.given_up = member.outstanding, None, None
        self.busy -= work is not None
        return work

    def expire(self, now: float) -> list[Member]:
        """Declare gone whoever has been silent for longer than the lease, and name them.

        Cheap until the earliest moment at which any lease can end, whoever gets work meanwhile.
        """
        if now < self._horizon:
            return []
        lost = [member for member in self if not member.gone and self._expiry(member) <= now]
        for member in lost:
            member.gone = True
            member.given_up = self.take_back(member)
        self._horizon = min(self.deadline() or math.inf, now + self._lease)
        return lost

    def deadline(self) -> float | None:
        """Next moment at which a lease may run out, seconds; None while nobody is waited for."""
        times = [self._expiry(member) for member in self if not member.gone]
        first = min(times, default=math.inf)
        return None if math.isinf(first) else first

    def _expiry(self, member: Member) -> float:
        if not member.joined:
            return self._started + self._lease
        if member.outstanding is None:
            return math.inf
        return max(member.heard, member.sent_at) + self._lease

    def state(self) -> list[dict[str, Any]]:
        """Everything but the work handed out, as JSON."""
        return [
            {
                "name": m.name,
                "joined": m.joined,
                "gone": m.gone,
                "exhausted": m.exhausted,
                "heard": m.heard,
                "used": m.used,
                "used_at": m.used_at,
                "strikes": m.strikes,
                "sent_at": m.sent_at,
                "spent": [getattr(m.spent, name) for name in Spent.__slots__],
            }
            for m in self
        ]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Take over what `state` wrote."""
        self._members = {}
        for index, entry in enumerate(state):
            values = {**entry, "index": index, "spent": Spent(*entry["spent"])}
            self._members[entry["name"]] = Member(**values)
