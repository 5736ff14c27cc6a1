"""Refused messages, what a lie costs its site, and that the other sites continue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.federation.conftest import M, N, answer, by_site, join, plan, started

from asyndbt.federation import LARGEST_LOSS, Coordinator
from asyndbt.lm import Limits
from asyndbt.optim import NO_WORD, preset
from asyndbt.scoring import Score, Spent


def test_a_site_with_other_settings_is_refused() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(plan(settings=preset("plain", draws=9)), "a"), 0.0)
    assert not coordinator.roster["a"].joined
    assert coordinator.notices()[0]["kind"] == "refused"


def test_more_strangers_than_a_run_can_hold_are_refused() -> None:
    agreed = plan(open=True)
    coordinator = started(agreed)
    for number in range(150):
        coordinator.receive(join(agreed, f"new-{number}"), 1.0)
    assert len(coordinator.roster) == 100
    assert coordinator.notices()[-1]["kind"] == "refused"


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


@pytest.mark.parametrize(
    ("proposal", "empty", "refused"),
    [
        ([NO_WORD] * M, True, False),
        ([NO_WORD] * M, False, True),
        ([NO_WORD] + [0] * (M - 1), True, True),
        ([-2] * M, True, True),
        ([N] * M, True, True),
    ],
)
def test_no_fragment_may_be_proposed_where_it_competes(
    proposal: list[int], empty: bool, refused: bool
) -> None:
    coordinator = started(plan(settings=preset("plain", empty_fragment=empty)))
    work = by_site(coordinator.assignments(0.0))["a"]
    coordinator.notices()
    coordinator.receive(replace(answer(work), proposal=np.array(proposal)), 1.0)
    assert [notice["kind"] for notice in coordinator.notices()] == ["refused"] * refused


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


@pytest.mark.parametrize("losses", [[-1.0], [27.7], [1e300]])
def test_validation_losses_out_of_bounds_are_refused(losses: list[float]) -> None:
    coordinator = started(plan(quorum=3, confirm_candidates=1))
    for work in coordinator.assignments(0.0):
        coordinator.receive(answer(work, exhausted=True), 0.0)
    work = coordinator.assignments(1.0)[0]
    coordinator.receive(replace(answer(work), losses=np.array(losses)), 1.0)
    assert coordinator.roster["a"].strikes == 1
    assert coordinator.selection.losses == {}


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


# ------------------------------------------------------------------ untrue numbers
SMALL = preset("plain", refresh_every=0, draws=3, batch_size=3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": -0.01}, "a loss that is not in"),
        ({"loss": 28.0}, "a loss that is not in"),
        ({"entropy_q": -(2.0**53)}, "entropies out of bounds"),
        ({"entropy_q": 1.5}, "entropies out of bounds"),
        ({"entropy_q_max": 2.0**53}, "entropies out of bounds"),
        ({"answered": 10}, "10 answers, where 9 were asked for"),
        ({"spent": Spent(calls=201)}, "201 calls spent, of 100 that it may"),
        ({"spent": Spent(tokens_in=1_000, tokens_out=1_001)}, "2,001 tokens spent, of 1,000"),
        ({"spent": Spent(money=5.0)}, "5.0 money spent, of 1.0"),
        ({"validation": Score(1, 4, 28.0)}, "a loss that is not in"),
        ({"validation": Score(1, 4, 0.1, 1.5)}, "a spread of accuracies"),
    ],
)
def test_a_step_with_numbers_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    limits = Limits(calls=100, tokens=1_000, money=1.0)
    coordinator = started(plan(settings=SMALL, limits=limits))
    work = by_site(coordinator.assignments(0.0))["a"]
    coordinator.notices()
    coordinator.receive(replace(answer(work), **change), 1.0)
    (notice,) = coordinator.notices()
    assert said in notice["why"]
    assert "a" not in coordinator.tuning.pending


def test_the_largest_numbers_that_can_be_are_not_refused() -> None:
    limits = Limits(calls=100, tokens=1_000, money=1.0)
    coordinator = started(plan(settings=SMALL, limits=limits))
    work = by_site(coordinator.assignments(0.0))["a"]
    spent = Spent(calls=100, tokens_in=900, tokens_out=100, money=1.0)
    report = replace(answer(work), loss=LARGEST_LOSS, entropy_q_max=1.2, spent=spent)
    coordinator.receive(report, 1.0)
    assert "a" in coordinator.tuning.pending


def test_a_made_up_name_is_refused() -> None:
    coordinator = started(plan())
    coordinator.notices()
    coordinator.receive(join(coordinator.plan, "sybil-1"), 1.0)
    (notice,) = coordinator.notices()
    assert (notice["kind"], notice["site"]) == ("refused", "sybil-1")
    assert "not one of the sites of this run" in notice["why"]
    assert len(coordinator.roster) == 3


def test_why_a_message_is_refused_is_said_once() -> None:
    coordinator = started(plan(strikes=3))
    coordinator.notices()
    for number in range(5):
        coordinator.receive(join(coordinator.plan, "sybil"), float(number))
        coordinator.refuse("a", "it cannot be read", float(number))
    kinds = [(notice["kind"], notice["site"]) for notice in coordinator.notices()]
    assert sorted(kinds) == [("banned", "a"), ("refused", "a"), ("refused", "sybil")]
    assert coordinator.roster["a"].strikes == 5


def test_reasons_without_end_do_not_fill_the_log() -> None:
    coordinator = started(plan())
    coordinator.notices()
    for number in range(3_000):
        coordinator.refuse(f"stranger-{number}", "it cannot be read", 1.0)
    assert len(coordinator.notices()) <= 1_000


def test_one_site_does_not_keep_tuning_going_alone() -> None:
    """It never says that its budget is spent, when those of the two others have been."""
    coordinator = started(plan(quorum=2))
    steps, now = 0, 0.0
    while coordinator.phase == "tuning" and now < 200.0:
        now += 1.0
        for work in coordinator.assignments(now):
            steps += work.site == "a"
            spent = work.site != "a" and coordinator.roster[work.site].used >= 9
            coordinator.receive(answer(work, exhausted=spent), now)
    assert coordinator.phase == "confirming"
    assert coordinator.stop_reason == "budget"
    assert steps <= 2 * 10 + 1
    (why,) = [n["why"] for n in coordinator.notices() if n["kind"] == "refused"]
    assert "its tuning ends" in why


def test_a_site_that_was_slow_uses_its_whole_budget_alone() -> None:
    coordinator = started(plan(quorum=1, staleness=99))
    slow, taken, now = by_site(coordinator.assignments(0.0))["a"], 0, 0.0
    waiting = [work for work in coordinator.outstanding() if work.site != "a"]
    while waiting:
        for work in waiting:
            spent = coordinator.roster[work.site].used >= 9
            coordinator.receive(answer(work, exhausted=spent), now)
        waiting = coordinator.assignments(now)
    work: Any = slow
    while coordinator.phase == "tuning":
        taken += 1
        coordinator.receive(answer(work, exhausted=taken == 10), now)
        work = next(iter(coordinator.assignments(now)), None)
    assert taken == 10
