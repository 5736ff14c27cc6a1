"""The roster's kept answers equal those counted from its members."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.federation._membership import Roster
from asyndbt.federation._messages import Evaluate

LEASE = 5.0
FRAGMENT = np.zeros(0, dtype=np.int64)
KINDS = (
    "join",
    "give",
    "answer",
    "back",
    "keep",
    "lose",
    "ban",
    "expire",
    "deadline",
    "restore",
    "add",
)


def ends(roster: Roster) -> list[float]:
    """Ends of leases, from the description of a member alone."""
    found = []
    for member in roster:
        if member.gone or member.banned:
            continue
        if not member.joined:
            found.append(LEASE)
        elif member.outstanding is not None:
            found.append(member.owes_since + LEASE)
    return found


def work(name: str, number: int) -> Evaluate:
    return Evaluate(site=name, id=number, iteration=0, fragment=FRAGMENT)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.floats(0.0, 4.0)), max_size=40)
)
def test_kept_answers_are_those_counted_anew(
    story: list[tuple[str, int, float]],
) -> None:
    roster, now = Roster(("a", "b", "c"), LEASE), 0.0
    for number, (kind, which, wait) in enumerate(story):
        now += wait
        member = list(roster)[which % len(roster)]
        roster = _act(roster, kind, member, now, number)
        members = list(roster)
        assert roster.free() == [m for m in members if m.free]
        assert roster.awaited() == any(m.awaited for m in members)
        assert roster.busy == sum(m.outstanding is not None for m in members)
        if kind == "deadline":
            first = min(ends(roster), default=math.inf)
            assert roster.deadline() == (None if math.isinf(first) else first)


def _act(roster: Roster, kind: str, member: Any, now: float, number: int) -> Roster:
    match kind:
        case "join" if not member.banned:
            roster.join(member, (1, 1, 1))
        case "give" if member.free:
            roster.hand_out(member, work(member.name, number), now)
        case "answer":
            roster.take_back(member)
        case "back" if member.joined and member.gone and not member.banned:
            roster.bring_back(member)
        case "keep" if member.live and member.outstanding:
            roster.keep(member, now)
        case "lose":
            roster.lose(member)
        case "ban":
            roster.ban(member)
        case "expire":
            due = [m.name for m in roster if m.live and m.outstanding and _end(m) <= now]
            due += [m.name for m in roster if m.awaited and now >= LEASE]
            assert {m.name for m in roster.expire(now)} == set(due)
        case "add" if len(roster) < 6:
            roster.add(f"new-{number}")
        case "restore":
            return _restored(roster)
    return roster


def _end(member: Any) -> float:
    return float(member.owes_since + LEASE)


def _restored(roster: Roster) -> Roster:
    fresh = Roster((), LEASE)
    fresh.restore(roster.state())
    for member in roster:
        if member.outstanding is not None:
            fresh.hand_out(fresh[member.name], member.outstanding, member.sent_at)
    return fresh
