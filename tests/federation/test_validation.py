"""Refused messages, what a lie costs its site, and that the other sites continue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.federation.conftest import M, N, answer, by_site, join, plan, started

from asyndbt.federation import Coordinator, Score, Spent
from asyndbt.optim import preset


def test_a_site_with_other_settings_is_refused() -> None:
    agreed = plan()
    coordinator = Coordinator(agreed)
    coordinator.receive(join(plan(settings=preset("plain", draws=9)), "a"), 0.0)
    assert not coordinator.roster["a"].joined
    assert coordinator.notices()[0]["kind"] == "refused"


def test_more_strangers_than_a_run_can_hold_are_refused() -> None:
    agreed = plan()
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
