"""Who takes part: joined, silent, gone, back, banned; and who holds work.

A roster may hold many thousand sites, so what is asked at every event is kept and not counted
anew: who is free, who is awaited, and the earliest end of a lease.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyndbt.federation._messages import Assignment, Spent


@dataclass(slots=True)
class Member:
    """One site as the coordinator sees it.

    Parameters
    ----------
    name : str
    index : int
        Its row in the server's arrays.
    joined, gone, banned, exhausted : bool
        Whether it has offered itself, has let its lease run out or failed, had too many reports
        refused, has spent its tuning budget.
    heard : float
        Time of its last message, seconds.
    used : int
        Reports of its that server steps have used.
    used_at : int
        Server step in which its last report was used.
    strikes : int
        Reports of its that were refused.
    counts : tuple of int
        Training, validation and test examples, as it said when it joined.
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
    banned: bool = False
    exhausted: bool = False
    heard: float = 0.0
    used: int = 0
    used_at: int = 0
    strikes: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    outstanding: Assignment | None = None
    given_up: Assignment | None = None
    sent_at: float = 0.0
    spent: Spent = field(default_factory=Spent)

    @property
    def live(self) -> bool:
        """Whether the site takes part at present."""
        return self.joined and not self.gone and not self.banned

    @property
    def awaited(self) -> bool:
        """Whether the site has yet to join."""
        return not self.joined and not self.gone and not self.banned

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
        self._lease, self._started = lease, started
        self._take([Member(name, index) for index, name in enumerate(names)])

    def _take(self, members: Sequence[Member]) -> None:
        """Have these members, none of them with work."""
        self._members = {member.name: member for member in members}
        self._order = list(members)
        self._free: set[int] = set()
        self._awaited: set[int] = set()
        # Ends of leases, at most one entry a member. An end only ever moves to later, so an entry
        # is never too late; it is brought up to date when it comes up.
        self._ends: list[tuple[float, int]] = []
        self._watched: set[int] = set()
        self.busy = 0
        for member in members:
            self._settle(member)

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
        member = Member(name, len(self._members))
        self._members[name] = member
        self._order.append(member)
        self._settle(member)
        return member

    def live(self) -> list[Member]:
        """Sites that take part at present."""
        return [member for member in self if member.live]

    def free(self) -> list[Member]:
        """Sites that could be given work, in order."""
        return [self._order[index] for index in sorted(self._free)]

    def awaited(self) -> bool:
        """Whether an expected site may still join before its lease runs out."""
        return bool(self._awaited)

    def join(self, member: Member, counts: tuple[int, int, int], now: float) -> None:
        """Note that the site offers itself, with so many examples."""
        self.take_back(member)
        member.joined, member.gone, member.heard, member.counts = True, False, now, counts
        self._settle(member)

    def hear(self, member: Member, now: float) -> bool:
        """Note a sign of life; True if the site had been given up."""
        back = member.gone
        member.gone, member.given_up, member.heard = False, None, now
        self._settle(member)
        return back

    def lose(self, member: Member) -> None:
        """Note that the site is gone, with the work it held."""
        member.gone, member.given_up = True, self.take_back(member)
        self._settle(member)

    def ban(self, member: Member) -> None:
        """Note that the site takes no part any more, whatever it says."""
        self.take_back(member)
        member.banned = True
        self._settle(member)

    def hand_out(self, member: Member, work: Assignment, now: float) -> None:
        """Note that the site holds this work from now on."""
        member.outstanding, member.sent_at = work, now
        self.busy += 1
        self._settle(member)

    def take_back(self, member: Member) -> Assignment | None:
        """Note that the site holds no work any more, and return what it held."""
        work, member.outstanding, member.given_up = member.outstanding, None, None
        self.busy -= work is not None
        self._settle(member)
        return work

    def refresh(self, member: Member) -> None:
        """Note that the site may spend again."""
        member.exhausted = False
        self._settle(member)

    def expire(self, now: float) -> list[Member]:
        """Declare gone whoever has been silent for longer than the lease, and name them."""
        lost = []
        while (end := self.deadline()) is not None and end <= now:
            member = self._order[self._ends[0][1]]
            self.lose(member)
            lost.append(member)
        return sorted(lost, key=lambda member: member.index)

    def deadline(self) -> float | None:
        """Next moment at which a lease may run out, seconds; None while nobody is waited for."""
        while self._ends:
            noted, index = self._ends[0]
            end = self._expiry(self._order[index])
            if end == noted:
                return end
            heapq.heappop(self._ends)
            self._watched.discard(index)
            self._watch(index, end)
        return None

    def _settle(self, member: Member) -> None:
        """Bring what is kept up to date after a change of the member."""
        for kept, belongs in ((self._free, member.free), (self._awaited, member.awaited)):
            (kept.add if belongs else kept.discard)(member.index)
        self._watch(member.index, self._expiry(member))

    def _watch(self, index: int, end: float) -> None:
        if index not in self._watched and not math.isinf(end):
            self._watched.add(index)
            heapq.heappush(self._ends, (end, index))

    def _expiry(self, member: Member) -> float:
        if member.gone or member.banned:
            return math.inf
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
                "banned": m.banned,
                "exhausted": m.exhausted,
                "heard": m.heard,
                "used": m.used,
                "used_at": m.used_at,
                "strikes": m.strikes,
                "counts": list(m.counts),
                "sent_at": m.sent_at,
                "spent": [getattr(m.spent, name) for name in Spent.__slots__],
            }
            for m in self
        ]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Take over what `state` wrote."""
        self._take([_member(index, entry) for index, entry in enumerate(state)])


def _member(index: int, entry: dict[str, Any]) -> Member:
    values = {**entry, "spent": Spent(*entry["spent"]), "counts": tuple(entry["counts"])}
    return Member(index=index, **values)
