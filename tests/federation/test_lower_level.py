"""Estimates of the lower level: which sites they ask, and which sites are in a plane."""

from __future__ import annotations

import numpy as np
import pytest
from tests.federation.conftest import NAMES, M, N, answer, by_site, join, plan, policy, started

from asyndbt.federation._messages import LowerRound, Step
from asyndbt.optim import preset


@pytest.mark.parametrize(("refresh", "asked"), [("free", {"a", "b"}), ("barrier", set(NAMES))])
def test_a_refresh_asks_the_free_sites_or_waits_for_all(refresh: str, asked: set[str]) -> None:
    settings = preset("plain", refresh_every=1, lower_rounds=2, plane_tolerance=0.0)
    coordinator = started(plan(refresh=refresh, settings=settings))
    work = by_site(coordinator.assignments(0.0))
    coordinator.receive(answer(work["a"]), 1.0)
    coordinator.receive(answer(work["b"]), 1.0)
    rounds = coordinator.assignments(1.0)
    assert {type(item) for item in rounds} == {LowerRound}
    assert set(by_site(rounds)) == {"a", "b"}
    if refresh == "barrier":
        for item in rounds:
            coordinator.receive(answer(item), 2.0)
        assert coordinator.assignments(2.0) == [], "all wait for the slowest"
        coordinator.receive(answer(work["c"]), 3.0)
        (last,) = coordinator.assignments(3.0)
        coordinator.receive(answer(last), 4.0)
        rounds = coordinator.assignments(4.0)
        assert set(by_site(rounds)) == set(NAMES)
    else:
        for item in rounds:
            coordinator.receive(answer(item), 2.0)
        rounds = coordinator.assignments(2.0)
        assert {type(item) for item in rounds} == {LowerRound}
    for item in rounds:
        coordinator.receive(answer(item), 5.0)
    assert coordinator.tuning.estimate is None
    assert len(coordinator.server.planes) > 0
    following = by_site(coordinator.assignments(5.0))
    assert {type(item) for item in following.values()} == {Step}
    assert asked >= set(following)


def test_server_steps_go_on_while_a_free_refresh_is_under_way() -> None:
    settings = preset("plain", refresh_every=2, lower_rounds=1, plane_tolerance=0.0)
    coordinator = started(plan(settings=settings, sites=(*NAMES, "d"), staleness=99))
    work = by_site(coordinator.assignments(0.0))
    for names in (("a", "b"), ("a", "b")):
        for name in names:
            coordinator.receive(answer(work[name]), 1.0)
        work |= by_site(coordinator.assignments(1.0))
    assert {name: type(work[name]) for name in ("a", "b")} == {"a": LowerRound, "b": LowerRound}
    for name in ("c", "d"):
        coordinator.receive(answer(work[name]), 2.0)
    assert coordinator.server.iteration == 3
    assert coordinator.tuning.estimate is not None
    start = coordinator.tuning.estimate.start_p.copy()
    for name in ("a", "b"):
        coordinator.receive(answer(work[name]), 3.0)
    planes = coordinator.server.planes
    assert len(planes) == M
    assert not planes.a[:, 2:].any(), "who was not asked is not in the planes"
    reached = np.stack([policy(work[name].id) for name in ("a", "b")])
    for row, position in enumerate(planes.position):
        signs = np.sign(start[:, position] - reached[:, position])
        assert np.array_equal(planes.a[row, :2], signs)


def test_sites_that_are_not_live_count_in_no_plane() -> None:
    settings = preset("plain", refresh_every=1, lower_rounds=1, plane_tolerance=0.0)
    coordinator = started(plan(quorum=3, settings=settings))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work), 1.0)
    rounds = by_site(coordinator.assignments(1.0))
    coordinator.receive(answer(rounds["a"]), 2.0)
    coordinator.receive(answer(rounds["b"]), 2.0)
    coordinator.advance(101.0)
    planes = coordinator.server.planes
    assert len(planes) == M
    assert not planes.a[:, 2].any()
    assert planes.a[:, :2].any()


def test_a_newcomer_in_the_middle_of_a_refresh_ends_that_refresh() -> None:
    settings = preset("plain", refresh_every=1, lower_rounds=1, plane_tolerance=0.0)
    agreed = plan(settings=settings, open=True)
    coordinator = started(agreed)
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "b"):
        coordinator.receive(answer(work[name]), 1.0)
    rounds = coordinator.assignments(1.0)
    assert coordinator.tuning.estimate is not None
    coordinator.receive(join(agreed, "newcomer"), 2.0)
    assert coordinator.tuning.estimate is None
    for item in rounds:
        coordinator.receive(answer(item), 3.0)
    for now in (4.0, 5.0, 6.0):
        for item in coordinator.assignments(now):
            coordinator.receive(answer(item), now)
    assert coordinator.server.p_all.shape == (4, M, N)
    assert coordinator.server.iteration > 1
