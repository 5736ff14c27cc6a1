"""When the server steps, what ends a phase and a run, and what a restart keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.federation.conftest import M, N, answer, by_site, join, plan, policy, started

from asyndbt.federation import Coordinator, encode, restore, snapshot
from asyndbt.federation._messages import Confirm, Evaluate
from asyndbt.optim import preset
from asyndbt.scoring import Score, Spent


def test_nothing_starts_before_every_expected_site_has_joined() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(agreed, "a"), 0.0)
    coordinator.receive(join(agreed, "b"), 1.0)
    assert coordinator.assignments(1.0) == []
    coordinator.receive(join(agreed, "c"), 2.0)
    assert set(by_site(coordinator.assignments(2.0))) == {"a", "b", "c"}


def test_the_server_moves_on_with_the_quorum_and_not_before() -> None:
    coordinator = started(plan())
    work = by_site(coordinator.assignments(0.0))
    coordinator.receive(answer(work["b"]), 1.0)
    assert coordinator.server.iteration == 0
    coordinator.receive(answer(work["a"]), 2.0)
    assert coordinator.server.iteration == 1
    assert set(by_site(coordinator.assignments(2.0))) == {"a", "b"}
    assert np.array_equal(coordinator.server.p_all[1], policy(work["b"].id))


@pytest.mark.parametrize("staleness", [1, 2, 3, 5])
def test_a_silent_live_site_is_used_every_tau_steps(staleness: int) -> None:
    """ADBO's server goes on while max(tau_v) < tau; with 1 every step uses every site."""
    coordinator = started(plan(staleness=staleness))
    used, late = [], by_site(coordinator.assignments(0.0))["c"]
    for _ in range(3):
        before = -1
        while coordinator.server.iteration > before:
            before = coordinator.server.iteration
            for work in coordinator.outstanding():
                if work.site != "c":
                    coordinator.receive(answer(work), 1.0)
            coordinator.assignments(1.0)
        coordinator.receive(answer(late), 2.0)
        used.append(coordinator.roster["c"].used_at)
        late = by_site(coordinator.assignments(2.0))["c"]
    assert used == [staleness, 2 * staleness, 3 * staleness]


def test_staleness_makes_the_server_wait_for_a_live_site() -> None:
    coordinator = started(plan(staleness=3))
    late = by_site(coordinator.assignments(0.0))["c"]
    work = [w for w in coordinator.outstanding() if w.site != "c"]
    for _ in range(5):
        for item in work:
            coordinator.receive(answer(item), 1.0)
        work = coordinator.assignments(1.0)
    assert coordinator.server.iteration == 2
    coordinator.receive(answer(late), 2.0)
    assert coordinator.server.iteration == 3


@pytest.mark.parametrize("consensus", [True, False])
def test_sites_that_have_not_reported_do_not_hold_the_consensus_back(consensus: bool) -> None:
    """Three of a hundred sites report: the others' uniform policies do not count."""
    names = tuple(f"site-{index:03}" for index in range(100))
    settings = preset("default", refresh_every=0)
    coordinator = started(plan(sites=names, quorum=3, settings=settings, consensus=consensus))
    sure = np.eye(N)[:M]
    for work in coordinator.assignments(0.0)[:3]:
        coordinator.receive(answer(work, p=sure), 1.0)
    assert coordinator.server.iteration == 1
    assert np.allclose(coordinator.server.z, sure, atol=0.01)
    (_, of_mean), _ = coordinator.tuning.fragments()
    assert np.array_equal(of_mean, [0, 1])


def test_a_doubled_or_late_report_changes_nothing() -> None:
    coordinator = started(plan())
    work = by_site(coordinator.assignments(0.0))
    for name in ("a", "a", "b", "b"):
        coordinator.receive(answer(work[name]), 1.0)
    assert coordinator.server.iteration == 1
    coordinator.receive(answer(work["a"]), 1.5)
    assert coordinator.tuning.pending == {}
    coordinator.receive(replace(answer(work["a"]), site="stranger"), 2.0)
    assert "stranger" not in coordinator.roster


def test_a_loss_of_no_answers_is_not_shown() -> None:
    coordinator = started(plan(quorum=3))
    for work in coordinator.assignments(0.0):
        report = answer(work)
        coordinator.receive(replace(report, answered=0) if work.site == "b" else report, 0.0)
    (step,) = [notice for notice in coordinator.notices() if notice["kind"] == "step"]
    assert set(step["loss"]) == {"a", "c"}


def test_iterations_end_a_run() -> None:
    coordinator = started(plan(iterations=2))
    for _ in range(4):
        for work in coordinator.assignments(0.0):
            coordinator.receive(answer(work), 0.0)
    assert coordinator.stop_reason == "iterations"
    assert coordinator.server.iteration == 2


def test_a_run_that_asks_nothing_new_comes_to_an_end() -> None:
    """All answers are there already: a budget of calls would never end it."""
    coordinator = started(plan(quorum=3))
    for _ in range(500):
        for work in coordinator.assignments(0.0):
            coordinator.receive(replace(answer(work), spent=Spent(calls=7)), 0.0)
    assert coordinator.stop_reason == "nothing new to ask"


@pytest.mark.parametrize(
    ("every", "reason", "steps"), [(10, "nothing new to ask", 100), (1, "iterations", 300)]
)
def test_a_question_now_and_then_does_not_keep_a_run_going(
    every: int, reason: str, steps: int
) -> None:
    """100 steps of three sites need 6,000 answers: 10 new ones are next to nothing, 100 are not."""
    coordinator = started(plan(quorum=3, iterations=300))
    calls = 0
    while coordinator.phase == "tuning":
        calls += coordinator.server.iteration % every == 0
        for work in coordinator.assignments(0.0):
            spent = Spent(calls=calls if work.site == "a" else 20)
            coordinator.receive(replace(answer(work), spent=spent), 0.0)
    assert (coordinator.stop_reason, coordinator.server.iteration) == (reason, steps)


def looking(coordinator: Coordinator, losses: dict[str, list[float]]) -> None:
    """Report as long as tuning lasts, with these validation losses one after the other."""
    while coordinator.phase == "tuning":
        for work in coordinator.assignments(0.0):
            left = losses[work.site]
            look = Score(2, 4, left.pop(0)) if left else Score()
            coordinator.receive(replace(answer(work), validation=look), 0.0)


FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
STILL = [1.0, 0.5, 0.6, 0.5, 0.7]


@pytest.mark.parametrize(
    ("patience", "sites", "ended"),
    [
        (3, [STILL, STILL, STILL], ("early stopping", 5)),
        (2, [STILL, STILL, STILL], ("early stopping", 4)),
        (2, [STILL, STILL, FALLING], ("early stopping", 4)),
        (2, [STILL, FALLING, FALLING], ("iterations", 20)),
        (4, [STILL, STILL, STILL], ("iterations", 20)),
        (None, [STILL, STILL, STILL], ("iterations", 20)),
    ],
)
def test_tuning_stops_early_where_most_sites_have_stopped_improving(
    patience: int | None, sites: list[list[float]], ended: tuple[str, int]
) -> None:
    coordinator = started(plan(quorum=3, iterations=20, patience=patience))
    looking(coordinator, {name: list(some) for name, some in zip("abc", sites, strict=True)})
    assert (coordinator.stop_reason, coordinator.server.iteration) == ended


@pytest.mark.parametrize("lie", [0.0, 1e15])
def test_one_liar_of_three_cannot_stop_the_others(lie: float) -> None:
    coordinator = started(plan(quorum=3, iterations=8, patience=1))
    looking(coordinator, {"a": list(FALLING), "b": [lie] * 9, "c": list(FALLING)})
    assert coordinator.stop_reason == "iterations"


def test_a_site_without_budget_has_no_say_in_early_stopping() -> None:
    coordinator = started(plan(quorum=1, iterations=20, patience=1))
    for work in coordinator.assignments(0.0):
        if work.site != "c":
            coordinator.receive(answer(work, exhausted=True), 0.0)
        else:
            look = Score(2, 4, 0.5)
            coordinator.receive(replace(answer(work), validation=look), 0.0)
    looking(coordinator, {"c": [0.4, 0.45]})
    assert coordinator.stop_reason == "early stopping"


def test_the_patience_used_up_survives_a_restart() -> None:
    agreed = plan(quorum=3, iterations=20, patience=2)
    saved = started(agreed)
    for loss in (0.5, 0.6):
        for work in saved.assignments(0.0):
            saved.receive(replace(answer(work), validation=Score(2, 4, loss)), 0.0)
    resumed, _ = restore(agreed, snapshot(saved))
    looking(resumed, {name: [0.55] for name in "abc"})
    assert (resumed.stop_reason, resumed.server.iteration) == ("early stopping", 3)


@pytest.mark.parametrize(("entropy", "reason"), [(0.5, "iterations"), (0.001, "converged")])
def test_convergence_asks_for_the_least_certain_slot(entropy: float, reason: str) -> None:
    coordinator = started(plan(quorum=3, iterations=300))
    sure = np.eye(N)[:M]
    while coordinator.phase == "tuning":
        for work in coordinator.assignments(0.0):
            changes = {"entropy_q": 0.001, "entropy_q_max": entropy}
            coordinator.receive(replace(answer(work, p=sure), **changes), 0.0)
    assert coordinator.stop_reason == reason


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


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 7])
def test_a_restored_coordinator_goes_on_like_the_one_that_was_saved(steps: int) -> None:
    settings = preset("plain", refresh_every=2, lower_rounds=2, plane_tolerance=0.0)
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
