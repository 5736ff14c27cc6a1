"""Every schedule of late, dead, returning and new sites, without a clock."""

from __future__ import annotations

import numpy as np
from tests.federation.conftest import M, N, answer, by_site, join, plan, started

from asyndbt.federation import Coordinator
from asyndbt.federation._messages import Step


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


def test_an_unexpected_site_can_join() -> None:
    agreed = plan()
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
