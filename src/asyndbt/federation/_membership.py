"""Membership: which sites have joined, are gone or banned, and which hold work.

Rosters can be large, so answers to frequent queries are kept up to date: the free sites, the sites
that have yet to join, and the earliest end of a lease.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyndbt.federation._messages import Assignment
from asyndbt.scoring import Spent


@dataclass(slots=True)
class Member:
    """One site as the coordinator sees it.

    Parameters
    ----------
    name : str
    index : int
        Row in the server's arrays.
    joined : bool
        Whether the site has offered itself.
    gone : bool
        Whether its lease has expired, or it has failed.
    banned : bool
        Whether too many of its reports were refused.
    exhausted : bool
        Whether its tuning budget is spent.
    owes_since : float or None
        Time from which its lease runs, seconds: when it was given work that it has not answered,
        or was last known to be at it. To be given other work instead does not move it.
    used : int
        Number of its reports that server steps have used.
    used_at : int
        Server step that used its last report.
    strikes : int
        Number of its reports that were refused.
    counts : tuple of int
        Training, validation and test examples, as declared on joining.
    outstanding : Assignment or None
        Work in progress.
    given_up : Assignment or None
        Work in progress when the lease expired, until the next message.
    sent_at : float
        Time at which the last work was handed out, seconds.
    spent : Spent
        Counts of its last accepted report.
    """

    name: str
    index: int
    joined: bool = False
    gone: bool = False
    banned: bool = False
    exhausted: bool = False
    owes_since: float | None = None
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
        """Whether the site takes part now."""
        return self.joined and not self.gone and not self.banned

    @property
    def awaited(self) -> bool:
        """Whether the site has yet to join."""
        return not self.joined and not self.gone and not self.banned

    @property
    def free(self) -> bool:
        """Whether the site takes part and holds no work."""
        return self.live and self.outstanding is None


class Roster:
    """All sites of a run, in a fixed order.

    Parameters
    ----------
    names : sequence of str
        Expected sites.
    lease : float
        Seconds of silence after which a site that holds work, or has yet to join, is gone.
    started : float
        Time at which the run begins, seconds.

    Attributes
    ----------
    busy : int
        Number of sites that hold work.
    """

    def __init__(self, names: Sequence[str], lease: float, started: float = 0.0) -> None:
        self._lease, self._started = lease, started
        self._set([Member(name, index) for index, name in enumerate(names)])

    def _set(self, members: Sequence[Member]) -> None:
        """Replace all members; none of the new ones may hold work."""
        self._members = {member.name: member for member in members}
        self._order = list(members)
        self._free: set[int] = set()
        self._awaited: set[int] = set()
        # A heap of lease ends, at most one entry per member. The end of a lease only moves to a
        # later time, so an entry is never too late; it is corrected when it comes up.
        self._ends: list[tuple[float, int]] = []
        self._watched: set[int] = set()
        self.busy = 0
        for member in members:
            self._update(member)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def add(self, name: str) -> Member:
        """Append an unexpected site."""
        member = Member(name, len(self._members))
        self._members[name] = member
        self._order.append(member)
        self._update(member)
        return member

    def live(self) -> list[Member]:
        """Sites that take part now."""
        return [member for member in self if member.live]

    def free(self) -> list[Member]:
        """Sites that take part and hold no work, in order."""
        return [self._order[index] for index in sorted(self._free)]

    def awaited(self) -> bool:
        """Whether an expected site may still join before its lease expires."""
        return bool(self._awaited)

    def join(self, member: Member, counts: tuple[int, int, int]) -> None:
        """Record that the site has joined, with its numbers of examples.

        What it held is taken back, and it owes an answer as before.
        """
        owed = member.owes_since
        self.take_back(member)
        member.joined, member.gone, member.counts, member.owes_since = True, False, counts, owed
        self._update(member)

    def bring_back(self, member: Member) -> None:
        """Record that a site that was gone is heard of again."""
        member.gone, member.given_up = False, None
        self._update(member)

    def keep(self, member: Member, now: float) -> None:
        """Renew the lease of a site that is at work at `now`, in seconds."""
        member.owes_since = now
        self._update(member)

    def lose(self, member: Member) -> None:
        """Record that the site is gone, and the work it held."""
        member.gone, member.given_up = True, self.take_back(member)
        self._update(member)

    def ban(self, member: Member) -> None:
        """Exclude the site from the rest of the run."""
        self.take_back(member)
        member.banned = True
        self._update(member)

    def hand_out(self, member: Member, work: Assignment, now: float) -> None:
        """Record that the site holds this work from `now` on, in seconds."""
        member.outstanding, member.sent_at = work, now
        member.owes_since = now if member.owes_since is None else member.owes_since
        self.busy += 1
        self._update(member)

    def take_back(self, member: Member) -> Assignment | None:
        """Record that the site holds no work and owes none, and return the work it held."""
        work, member.outstanding, member.given_up = member.outstanding, None, None
        member.owes_since = None
        self.busy -= work is not None
        self._update(member)
        return work

    def renew(self, member: Member) -> None:
        """Record that the site has tuning budget again."""
        member.exhausted = False
        self._update(member)

    def expire(self, now: float) -> list[Member]:
        """Mark sites whose lease has expired by `now`, in seconds, as gone, and return them."""
        lost = []
        while (end := self.deadline()) is not None and end <= now:
            member = self._order[self._ends[0][1]]
            self.lose(member)
            lost.append(member)
        return sorted(lost, key=lambda member: member.index)

    def deadline(self) -> float | None:
        """Time of the next end of a lease, seconds; None if no site holds one."""
        while self._ends:
            noted, index = self._ends[0]
            end = self._expiry(self._order[index])
            if end == noted:
                return end
            heapq.heappop(self._ends)
            self._watched.discard(index)
            self._watch(index, end)
        return None

    def _update(self, member: Member) -> None:
        """Update the kept answers after a change of the member."""
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
        if member.outstanding is None or member.owes_since is None:
            return math.inf
        return member.owes_since + self._lease

    def state(self) -> list[dict[str, Any]]:
        """Return everything except work in progress, as JSON."""
        return [
            {
                "name": m.name,
                "joined": m.joined,
                "gone": m.gone,
                "banned": m.banned,
                "exhausted": m.exhausted,
                "owes_since": m.owes_since,
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
        """Restore what `state` returned."""
        self._set([_member(index, entry) for index, entry in enumerate(state)])


def _member(index: int, entry: dict[str, Any]) -> Member:
    values = {**entry, "spent": Spent(*entry["spent"]), "counts": tuple(entry["counts"])}
    return Member(index=index, **values)
