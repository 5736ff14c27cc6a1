"""Every schedule of late, dead, returning and lying sites, without a clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asyndbt.federation import Coordinator, Plan, Score, Spent, restore, snapshot
from asyndbt.federation.messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    Join,
    LowerDone,
    LowerRound,
    Report,
    Step,
    StepDone,
    encode,
)
from asyndbt.optim import Settings

M, N = 2, 4
NAMES = ("a", "b", "c")
QUIET = Settings(refresh_every=0)


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {"sites": NAMES, "quorum": 2, "settings": QUIET, "lease": 100.0}
    return Plan(positions=M, words=N, **{**values, **changes})


def started(agreed: Plan) -> Coordinator:
    coordinator = Coordinator(agreed)
    for name in agreed.sites:
        coordinator.receive(join(agreed, name), 0.0)
    return coordinator


def join(agreed: Plan, name: str) -> Join:
    return Join(
        site=name,
        positions=M,
        words=N,
        agreement=agreed.agreement,
        train=9,
        validation=3,
        test=3,
    )


def policy(seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(N), size=M)


def answer(work: Assignment, *, exhausted: bool = False, p: Any = None) -> Report:
    base: dict[str, Any] = {"site": work.site, "id": work.id, "spent": Spent(calls=work.id)}
    p = policy(work.id) if p is None else p
    match work:
        case Step():
            return StepDone(
                p=p, loss=0.5, entropy_q=1.0, exhausted=exhausted, validation=Score(), **base
            )
        case LowerRound():
            return LowerDone(p=p, **base)
        case Confirm():
            losses = np.linspace(1.0, 0.0, len(work.candidates))
            return ConfirmDone(losses=losses, n=4, **base)
        case Evaluate():
            scores = {"plain": Score(1, 4), "random_icl": Score(2, 4), "tuned": Score(3, 4)}
            return EvaluateDone(validation=Score(), **scores, **base)
    raise AssertionError(work)


def by_site(assignments: list[Assignment]) -> dict[str, Assignment]:
    return {assignment.site: assignment for assignment in assignments}


def test_nothing_starts_before_every_expected_site_has_joined() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(agreed, "a"), 0.0)
    coordinator.receive(join(agreed, "b"), 1.0)
    assert coordinator.assignments(1.0) == []
    coordinator.receive(join(agreed, "c"), 2.0)
    assert set(by_site(coordinator.assignments(2.0))) == {"a", "b", "c"}


def test_a_site_that_never_joins_delays_by_one_lease_only() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(agreed, "a"), 0.0)
    coordinator.receive(join(agreed, "b"), 0.0)
    assert coordinator.deadline() == 100.0
    coordinator.advance(100.0)
    assert set(by_site(coordinator.assignments(100.0))) == {"a", "b"}


def test_the_server_moves_on_with_the_quorum_and_not_before() -> None:
    coordinator = started(plan())
    work = by_site(coordinator.assignments(0.0))
    coordinator.receive(answer(work["b"]), 1.0)
    assert coordinator.server.iteration == 0
    coordinator.receive(answer(work["a"]), 2.0)
    assert coordinator.server.iteration == 1
    assert set(by_site(coordinator.assignments(2.0))) == {"a", "b"}
    assert np.array_equal(coordinator.server.p_all[1], policy(work["b"].id))


def test_staleness_makes_the_server_wait_for_a_live_site() -> None:
    coordinator = started(plan(staleness=2))
    late = by_site(coordinator.assignments(0.0))["c"]
    work = [w for w in coordinator.outstanding() if w.site != "c"]
    for _ in range(5):
        for item in work:
            coordinator.receive(answer(item), 1.0)
        work = coordinator.assignments(1.0)
    assert coordinator.server.iteration == 2
    coordinator.receive(answer(late), 2.0)
    assert coordinator.server.iteration == 3


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
    assert coordinator.pending == {}


def test_a_site_nobody_expected_can_join() -> None:
    agreed = plan()
    coordinator = started(agreed)
    coordinator.assignments(0.0)
    coordinator.receive(join(agreed, "newcomer"), 1.0)
    (work,) = coordinator.assignments(1.0)
    assert work.site == "newcomer"
    assert coordinator.server.p_all.shape == (4, M, N)
    coordinator.receive(answer(work), 2.0)
    assert "newcomer" in coordinator.pending


def test_a_site_with_other_settings_is_refused() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(plan(settings=Settings(draws=9)), "a"), 0.0)
    assert not coordinator.roster["a"].joined
    assert coordinator.notices()[0]["kind"] == "refused"


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (np.full((M, N), 0.5), "not on the simplex"),
        (np.array([[1.5, -0.5, 0.0, 0.0]] * M), "not on the simplex"),
        (np.full((M, N + 1), 1 / (N + 1)), "shape"),
    ],
)
def test_a_report_off_the_simplex_is_refused_and_counted(p: Any, said: str) -> None:
    coordinator = started(plan())
    work = by_site(coordinator.assignments(0.0))["a"]
    coordinator.notices()
    coordinator.receive(answer(work, p=p), 1.0)
    (notice,) = coordinator.notices()
    assert notice["kind"] == "refused"
    assert said in notice["why"]
    assert coordinator.roster["a"].strikes == 1
    assert coordinator.pending == {}
    assert np.allclose(coordinator.server.p_all[0], 1 / N)


def test_a_site_that_keeps_lying_is_no_longer_asked_and_the_others_go_on() -> None:
    coordinator = started(plan(quorum=3, strikes=3))
    for _ in range(6):
        for work in coordinator.assignments(0.0):
            lie = np.full((M, N), 7.0) if work.site == "a" else None
            coordinator.receive(answer(work, p=lie), 0.0)
    assert coordinator.roster["a"].strikes == 3
    assert coordinator.server.iteration >= 3
    assert "a" not in by_site(coordinator.outstanding())


def test_a_doubled_or_late_report_changes_nothing() -> None:
    coordinator = started(plan())
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "a", "b", "b"):
        coordinator.receive(answer(work[name]), 1.0)
    assert coordinator.server.iteration == 1
    coordinator.receive(answer(work["a"]), 1.5)
    assert coordinator.pending == {}
    coordinator.receive(StepDone(**{**vars_of(answer(work["a"])), "site": "stranger"}), 2.0)
    assert "stranger" not in coordinator.roster


def vars_of(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__dataclass_fields__}


@pytest.mark.parametrize(("refresh", "asked"), [("free", {"a", "b"}), ("barrier", set(NAMES))])
def test_a_refresh_asks_the_free_sites_or_waits_for_all(refresh: str, asked: set[str]) -> None:
    settings = Settings(refresh_every=1, lower_rounds=2, plane_tolerance=0.0)
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
    assert coordinator.refresh is None
    assert len(coordinator.server.planes) > 0
    following = by_site(coordinator.assignments(5.0))
    assert {type(item) for item in following.values()} == {Step}
    assert asked >= set(following)


def test_when_budgets_are_spent_the_best_candidate_on_validation_is_evaluated() -> None:
    coordinator = started(plan(quorum=3, confirm_candidates=3))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work, exhausted=True), 1.0)
    assert coordinator.stop_reason == "budget"
    confirming = coordinator.assignments(1.0)
    tables = [work.candidates for work in confirming if isinstance(work, Confirm)]
    assert len(tables) == 3
    for work in confirming:
        coordinator.receive(answer(work), 2.0)
    evaluating = coordinator.assignments(2.0)
    for work in evaluating:
        assert isinstance(work, Evaluate)
        assert np.array_equal(work.fragment, tables[0][-1]), "the last candidate had the least loss"
        coordinator.receive(answer(work), 3.0)
    assert coordinator.phase == "done"
    assert {site: e.tuned.correct for site, e in coordinator.evaluations.items()} == {
        "a": 3,
        "b": 3,
        "c": 3,
    }


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


def test_iterations_end_a_run() -> None:
    coordinator = started(plan(iterations=2))
    for _ in range(4):
        for work in coordinator.assignments(0.0):
            coordinator.receive(answer(work), 0.0)
    assert coordinator.stop_reason == "iterations"
    assert coordinator.server.iteration == 2


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 7])
def test_a_restored_coordinator_goes_on_like_the_one_that_was_saved(steps: int) -> None:
    settings = Settings(refresh_every=2, lower_rounds=2, plane_tolerance=0.0)
    agreed = plan(settings=settings, iterations=5)
    saved = started(agreed)
    saved.assignments(0.0)
    for _ in range(steps):
        saved.receive(answer(saved.outstanding()[0]), 1.0)
        saved.assignments(1.0)
    resumed, more = restore(agreed, snapshot(saved, note="kept"))
    assert more == {"note": "kept"}
    assert [encode(w) for w in resumed.outstanding()] == [encode(w) for w in saved.outstanding()]
    while saved.phase != "done":
        for coordinator in (saved, resumed):
            coordinator.receive(answer(coordinator.outstanding()[0]), 2.0)
            coordinator.assignments(2.0)
        assert snapshot(saved) == snapshot(resumed)
