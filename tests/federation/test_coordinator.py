"""Every schedule of late, dead, returning and lying sites, without a clock."""

from __future__ import annotations

from dataclasses import replace
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
    return Plan(**{"positions": M, "words": N, **values, **changes})


def started(agreed: Plan) -> Coordinator:
    coordinator = Coordinator(agreed)
    for name in agreed.sites:
        coordinator.receive(join(agreed, name), 0.0)
    return coordinator


def join(agreed: Plan, name: str) -> Join:
    return Join(
        site=name,
        positions=agreed.positions,
        words=agreed.words,
        agreement=agreed.agreement,
        train=9,
        validation=4,
        test=4,
    )


def policy(seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(N), size=M)


def answer(work: Assignment, *, exhausted: bool = False, p: Any = None) -> Report:
    base: dict[str, Any] = {"site": work.site, "id": work.id, "spent": Spent(calls=work.id)}
    p = policy(work.id) if p is None else p
    match work:
        case Step():
            return StepDone(
                p=p,
                loss=0.5,
                answered=9,
                entropy_q=1.0,
                entropy_q_max=1.0,
                exhausted=exhausted,
                validation=Score(),
                **base,
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
    assert coordinator.tuning.pending == {}


def test_a_site_nobody_expected_can_join() -> None:
    agreed = plan()
    coordinator = started(agreed)
    coordinator.assignments(0.0)
    coordinator.receive(join(agreed, "newcomer"), 1.0)
    (work,) = coordinator.assignments(1.0)
    assert work.site == "newcomer"
    assert coordinator.server.p_all.shape == (4, M, N)
    coordinator.receive(answer(work), 2.0)
    assert "newcomer" in coordinator.tuning.pending


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
    assert coordinator.tuning.pending == {}
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


def test_a_site_that_lies_at_the_end_holds_up_neither_the_end_nor_the_others() -> None:
    """Refused confirmations are asked again, but not for ever."""
    coordinator = started(plan(quorum=3, strikes=2, lease=10.0))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work, exhausted=True), 0.0)
    now = 1.0
    while coordinator.phase != "done" and now < 50.0:
        now += 1.0
        for work in coordinator.assignments(now):
            report = answer(work)
            if work.site == "b":
                report = replace(report, losses=np.zeros(1))
            coordinator.receive(report, now)
    assert coordinator.phase == "done"
    assert coordinator.roster["b"].banned
    assert set(coordinator.evaluations) == {"a", "c"}
    coordinator.receive(join(coordinator.plan, "b"), now)
    assert not coordinator.roster["b"].live


def test_bytes_that_are_no_message_count_against_their_sender() -> None:
    coordinator = started(plan(quorum=2, strikes=2))
    for count in (1, 2):
        coordinator.assignments(0.0)
        coordinator.refuse("a", "it cannot be read", 1.0)
        assert coordinator.roster["a"].strikes == count
    assert coordinator.roster["a"].banned
    assert "a" not in by_site(coordinator.assignments(1.0))
    coordinator.refuse("stranger", "it cannot be read", 1.0)
    assert "stranger" not in coordinator.roster


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plain": Score(5, 5)}, "a score over 5 examples, of 4"),
        ({"validation": Score(1, 10**9)}, "a score over 1000000000 examples"),
        ({"spent": Spent(calls=0)}, "its count of calls has fallen"),
    ],
)
def test_a_report_beyond_a_sites_own_data_is_refused(change: dict[str, Any], said: str) -> None:
    coordinator = started(plan(positions=0, words=0, consensus=False, quorum=3))
    empty = np.empty((0, 0))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work, exhausted=True, p=empty), 0.0)
    assert coordinator.phase == "evaluating"
    work = by_site(coordinator.assignments(1.0))["a"]
    coordinator.notices()
    coordinator.receive(replace(answer(work), **change), 1.0)
    (notice,) = coordinator.notices()
    assert said in notice["why"]
    assert "a" not in coordinator.evaluations


@pytest.mark.parametrize("losses", [[-1.0], [1e300]])
def test_validation_losses_out_of_bounds_are_refused(losses: list[float]) -> None:
    coordinator = started(plan(quorum=3, confirm_candidates=1))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work, exhausted=True), 0.0)
    work = coordinator.assignments(1.0)[0]
    coordinator.receive(replace(answer(work), losses=np.array(losses)), 1.0)
    assert coordinator.roster["a"].strikes == 1
    assert coordinator.candidates.losses == {}


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


def test_a_run_whose_sites_never_joined_waits_and_starts_with_the_first() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.advance(100.0)
    assert (coordinator.phase, coordinator.stop_reason) == ("tuning", "")
    coordinator.receive(join(agreed, "b"), 200.0)
    assert set(by_site(coordinator.assignments(200.0))) == {"b"}


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


def test_a_newcomer_in_the_middle_of_a_refresh_ends_that_refresh() -> None:
    agreed = plan(settings=Settings(refresh_every=1, lower_rounds=1, plane_tolerance=0.0))
    coordinator = started(agreed)
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "b"):
        coordinator.receive(answer(work[name]), 1.0)
    rounds = coordinator.assignments(1.0)
    assert coordinator.tuning.refresh is not None
    coordinator.receive(join(agreed, "newcomer"), 2.0)
    assert coordinator.tuning.refresh is None
    for item in rounds:
        coordinator.receive(answer(item), 3.0)
    for now in (4.0, 5.0, 6.0):
        for item in coordinator.assignments(now):
            coordinator.receive(answer(item), now)
    assert coordinator.server.p_all.shape == (4, M, N)
    assert coordinator.server.iteration > 1


def test_server_steps_go_on_while_a_free_refresh_is_under_way() -> None:
    settings = Settings(refresh_every=2, lower_rounds=1, plane_tolerance=0.0)
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
    assert coordinator.tuning.refresh is not None
    start = coordinator.tuning.refresh.start_p.copy()
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
    settings = Settings(refresh_every=1, lower_rounds=1, plane_tolerance=0.0)
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


def test_a_run_that_asks_nothing_new_comes_to_an_end() -> None:
    """All answers are there already: a budget of calls would never end it."""
    coordinator = started(plan(quorum=3))
    for _ in range(500):
        for work in coordinator.assignments(0.0):
            coordinator.receive(replace(answer(work), spent=Spent(calls=7)), 0.0)
    assert coordinator.stop_reason == "nothing new to ask"


@pytest.mark.parametrize(("entropy", "reason"), [(0.5, "iterations"), (0.001, "converged")])
def test_convergence_asks_for_the_least_certain_slot(entropy: float, reason: str) -> None:
    coordinator = started(plan(quorum=3, iterations=300))
    sure = np.eye(N)[:M]
    while coordinator.phase == "tuning":
        for work in coordinator.assignments(0.0):
            changes = {"entropy_q": 0.001, "entropy_q_max": entropy}
            coordinator.receive(replace(answer(work, p=sure), **changes), 0.0)
    assert coordinator.stop_reason == reason


def test_a_loss_of_no_answers_is_not_shown() -> None:
    coordinator = started(plan(quorum=3))
    for work in coordinator.assignments(0.0):
        report = answer(work)
        coordinator.receive(replace(report, answered=0) if work.site == "b" else report, 0.0)
    (step,) = [notice for notice in coordinator.notices() if notice["kind"] == "step"]
    assert set(step["loss"]) == {"a", "c"}


def test_more_strangers_than_a_run_can_hold_are_refused() -> None:
    agreed = plan()
    coordinator = started(agreed)
    for number in range(150):
        coordinator.receive(join(agreed, f"new-{number}"), 1.0)
    assert len(coordinator.roster) == 100
    assert coordinator.notices()[-1]["kind"] == "refused"


def test_a_doubled_or_late_report_changes_nothing() -> None:
    coordinator = started(plan())
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "a", "b", "b"):
        coordinator.receive(answer(work[name]), 1.0)
    assert coordinator.server.iteration == 1
    coordinator.receive(answer(work["a"]), 1.5)
    assert coordinator.tuning.pending == {}
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
    assert coordinator.tuning.refresh is None
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
