"""Every schedule of late, dead, returning and new sites, without a clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.federation.conftest import M, N, answer, by_site, join, plan, policy, started

from asyndbt.federation import Coordinator
from asyndbt.federation._messages import Assignment, Step
from asyndbt.optim import preset


def test_a_site_that_never_joins_delays_by_one_lease_only() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(agreed, "a"), 0.0)
    coordinator.receive(join(agreed, "b"), 0.0)
    assert coordinator.deadline() == 100.0
    coordinator.advance(100.0)
    assert set(by_site(coordinator.assignments(100.0))) == {"a", "b"}


def test_a_run_whose_sites_never_joined_waits_and_starts_with_the_first() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.advance(100.0)
    assert (coordinator.phase, coordinator.stop_reason) == ("tuning", "")
    coordinator.receive(join(agreed, "b"), 200.0)
    assert set(by_site(coordinator.assignments(200.0))) == {"b"}


def test_a_dead_site_is_given_up_after_its_lease_and_taken_back_when_it_returns() -> None:
    agreed = plan(quorum=3, staleness=2)
    coordinator = started(agreed)
    work = by_site(coordinator.assignments(0.0))
    coordinator.receive(answer(work["a"]), 1.0)
    coordinator.receive(answer(work["b"]), 1.0)
    assert coordinator.server.iteration == 0
    assert coordinator.deadline() == 100.0
    coordinator.advance(99.0)
    assert coordinator.server.iteration == 0
    coordinator.advance(100.0)
    assert coordinator.server.iteration == 1
    assert not coordinator.server.live[2]
    coordinator.assignments(100.0)

    coordinator.receive(answer(work["c"]), 150.0)
    assert coordinator.server.iteration == 1, "work given up is not used"
    fresh = by_site(coordinator.assignments(150.0))["c"]
    assert isinstance(fresh, Step)
    assert np.array_equal(fresh.z, coordinator.server.z)
    kinds = [notice["kind"] for notice in coordinator.notices()]
    assert kinds.count("gone") == 1
    assert kinds.count("back") == 1


def _returns(coordinator: Coordinator, way: str, old: Assignment) -> None:
    """Bring c back, by joining anew or with the answer to work that was given up."""
    agreed = coordinator.plan
    message = join(agreed, "c") if way == "join" else answer(old)
    coordinator.receive(message, 50.0)


@pytest.mark.parametrize("way", ["join", "report"])
def test_a_site_that_returns_goes_on_from_z_and_not_from_what_it_thought(way: str) -> None:
    settings = preset("plain", averaging=1.0, psi=0.0, eta_theta=0.5, refresh_every=0)
    coordinator = started(plan(settings=settings))
    before, after = np.eye(N)[[3, 3]], np.eye(N)[[0, 0]]
    for _ in range(3):
        for work in coordinator.assignments(0.0):
            coordinator.receive(answer(work, p=before if work.site == "c" else after), 0.0)
    coordinator.assignments(0.0)
    old = by_site(coordinator.outstanding())["c"]
    assert coordinator.server.theta[2].any()
    coordinator.lose("c", "OSError", 1.0)
    for _ in range(30):
        for work in coordinator.outstanding():
            coordinator.receive(answer(work, p=after), 2.0)
        coordinator.assignments(2.0)
    assert np.allclose(coordinator.server.z, after, atol=1e-3)

    _returns(coordinator, way, old)
    z = coordinator.server.z.copy()
    assert np.array_equal(coordinator.server.p_all[2], z)
    assert not coordinator.server.theta[2].any()
    assert not coordinator.server.counted[2]
    for work in coordinator.outstanding():
        coordinator.receive(answer(work, p=after), 51.0)
    assert np.array_equal(coordinator.server.p_all[2], z), "until it has reported"
    assert np.allclose(coordinator.server.z, after, atol=1e-3)
    fresh = by_site(coordinator.assignments(52.0))["c"]
    coordinator.receive(answer(fresh, p=before), 53.0)
    for work in coordinator.outstanding():
        coordinator.receive(answer(work, p=after), 53.0)
    assert coordinator.server.counted[2]
    assert np.array_equal(coordinator.server.p_all[2], before), "its fresh report counts"


def test_a_report_that_waits_for_the_quorum_outlasts_an_absence() -> None:
    settings = preset("plain", refresh_every=1, lower_rounds=1, plane_tolerance=0.0)
    coordinator = started(plan(settings=settings, sites=("a", "b", "c", "d"), quorum=3))
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "b", "c"):
        coordinator.receive(answer(work[name]), 1.0)
    rounds = by_site(coordinator.assignments(1.0))
    coordinator.receive(answer(rounds["a"]), 2.0)
    step = by_site(coordinator.assignments(2.0))["a"]
    assert isinstance(step, Step)
    coordinator.receive(answer(step), 3.0)
    coordinator.lose("a", "OSError", 4.0)
    coordinator.receive(join(coordinator.plan, "a"), 5.0)
    assert np.array_equal(coordinator.server.p_all[0], coordinator.server.z)
    coordinator.receive(answer(work["d"]), 6.0)
    coordinator.receive(answer(rounds["b"]), 6.0)
    coordinator.receive(answer(rounds["c"]), 6.0)
    for item in coordinator.assignments(6.0):
        coordinator.receive(answer(item), 7.0)
    assert coordinator.server.iteration == 2
    assert np.array_equal(coordinator.server.p_all[0], policy(step.id))


@pytest.mark.parametrize("way", ["join", "report"])
def test_a_site_that_returns_takes_no_part_in_the_estimate_under_way(way: str) -> None:
    settings = preset("plain", refresh_every=1, lower_rounds=1, plane_tolerance=0.0)
    coordinator = started(plan(settings=settings, quorum=3))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work), 1.0)
    rounds = by_site(coordinator.assignments(1.0))
    coordinator.lose("c", "OSError", 2.0)
    _returns(coordinator, way, rounds["c"])
    again = by_site(coordinator.assignments(51.0))
    assert isinstance(again["c"], Step)
    coordinator.receive(answer(rounds["a"]), 52.0)
    coordinator.receive(answer(rounds["b"]), 52.0)
    planes = coordinator.server.planes
    assert len(planes) == M
    assert not planes.a[:, 2].any()
    assert planes.a[:, :2].any()


def test_a_site_restarted_in_the_middle_of_its_work_is_given_new_work() -> None:
    agreed = plan()
    coordinator = started(agreed)
    old = by_site(coordinator.assignments(0.0))["a"]
    coordinator.receive(join(agreed, "a"), 1.0)
    (new,) = coordinator.assignments(1.0)
    assert new.site == "a"
    assert new.id != old.id
    coordinator.receive(answer(old), 2.0)
    assert coordinator.tuning.pending == {}


def test_a_site_that_fails_is_gone_at_once_and_its_error_told_by_kind() -> None:
    coordinator = started(plan(quorum=3))
    work = by_site(coordinator.assignments(0.0))
    coordinator.receive(answer(work["a"]), 1.0)
    coordinator.receive(answer(work["b"]), 1.0)
    coordinator.notices()
    coordinator.lose("c", "OSError", 2.0)
    assert coordinator.server.iteration == 1
    assert coordinator.notices()[0] == {"kind": "gone", "site": "c", "why": "OSError"}
    assert "c" not in by_site(coordinator.unanswered())


def test_a_site_known_to_be_at_work_keeps_its_lease() -> None:
    coordinator = started(plan())
    coordinator.assignments(0.0)
    coordinator.keep("a", 99.0)
    coordinator.advance(100.0)
    assert [member.name for member in coordinator.roster.live()] == ["a"]
    assert coordinator.deadline() == 199.0


@pytest.mark.parametrize("way", ["wrong id", "join", "future id"])
def test_what_is_no_answer_renews_no_lease(way: str) -> None:
    """A site that talks once per lease and never answers is gone as soon as a silent one."""
    agreed = plan(staleness=2)
    coordinator = started(agreed)
    work = by_site(coordinator.assignments(0.0))
    for _ in range(3):
        coordinator.receive(answer(work["a"]), 1.0)
        coordinator.receive(answer(work["b"]), 1.0)
        work |= by_site(coordinator.assignments(1.0))
    assert coordinator.server.iteration == 1, "the server waits for c"
    for now in (50.0, 99.0):
        match way:
            case "wrong id":
                coordinator.receive(replace(answer(work["c"]), id=0), now)
            case "future id":
                coordinator.receive(replace(answer(work["c"]), id=10**6), now)
            case _:
                coordinator.receive(join(agreed, "c"), now)
        coordinator.assignments(now)
    coordinator.advance(100.0)
    assert not coordinator.roster["c"].live
    assert coordinator.server.iteration == 2
    assert coordinator.roster["c"].strikes == (2 if way == "future id" else 0)


def test_an_answer_ends_what_a_site_owes_and_its_next_lease_is_whole() -> None:
    coordinator = started(plan(quorum=3))
    work = by_site(coordinator.assignments(0.0))
    coordinator.receive(join(coordinator.plan, "c"), 60.0)
    work |= by_site(coordinator.assignments(60.0))
    assert coordinator.deadline() == 100.0
    for name in ("a", "b", "c"):
        coordinator.receive(answer(work[name]), 90.0)
    coordinator.assignments(90.0)
    assert coordinator.deadline() == 190.0


def test_an_unexpected_site_can_join_an_open_run() -> None:
    agreed = plan(open=True)
    coordinator = started(agreed)
    coordinator.assignments(0.0)
    coordinator.receive(join(agreed, "newcomer"), 1.0)
    (work,) = coordinator.assignments(1.0)
    assert work.site == "newcomer"
    assert coordinator.server.p_all.shape == (4, M, N)
    coordinator.receive(answer(work), 2.0)
    assert "newcomer" in coordinator.tuning.pending


def test_a_site_lost_at_the_end_does_not_hold_the_result_back() -> None:
    coordinator = started(plan(quorum=2))
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "b", "c"):
        coordinator.receive(answer(work[name], exhausted=True), 1.0)
    for item in coordinator.assignments(1.0):
        coordinator.receive(answer(item), 2.0)
    for item in coordinator.assignments(2.0):
        if item.site != "c":
            coordinator.receive(answer(item), 3.0)
    assert coordinator.phase == "evaluating"
    coordinator.advance(102.0)
    assert coordinator.phase == "done"
    assert set(coordinator.evaluations) == {"a", "b"}


def test_a_run_is_not_done_because_everybody_is_gone() -> None:
    agreed = plan(quorum=3)
    coordinator = started(agreed)
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work, exhausted=True), 1.0)
    confirming = coordinator.assignments(1.0)
    coordinator.advance(101.0)
    assert coordinator.phase == "confirming"
    assert coordinator.deadline() is None
    assert coordinator.assignments(101.0) == []
    coordinator.receive(answer(confirming[0]), 150.0)
    for now in (151.0, 152.0):
        for work in coordinator.assignments(now):
            coordinator.receive(answer(work), now)
    assert coordinator.phase == "done"
    assert set(coordinator.evaluations) == {"a"}
