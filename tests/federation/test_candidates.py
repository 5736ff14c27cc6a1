"""Which fragments are compared, and which one wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.federation.candidates import Candidates

SITES = ("a", "b", "c")


def candidates(count: int = 3) -> Candidates:
    compared = Candidates(count)
    compared.close([np.array([index]) for index in range(count)])
    return compared


def chosen(losses: Mapping[str, tuple[Sequence[float], int]]) -> int:
    compared = candidates(len(next(iter(losses.values()))[0]))
    for site, (values, n) in losses.items():
        compared.record(site, np.array(values), n)
    compared.choose(sorted(losses))
    return int(compared.best()[0])


def test_the_final_read_outs_come_first_then_the_latest_ones_each_once() -> None:
    compared = Candidates(3)
    for index in (5, 6, 7, 6):
        compared.note(np.array([index]))
    compared.close([np.array([9]), np.array([9]), np.array([6])])
    assert compared.final == [(9,), (6,), (7,)]


def test_the_least_loss_over_all_examples_wins_and_the_first_on_a_tie() -> None:
    assert chosen({"a": ([0.5, 0.4, 0.7], 40), "b": ([0.3, 0.35, 0.2], 40)}) == 1
    assert chosen({"a": ([0.5, 0.4], 40), "b": ([0.4, 0.5], 40)}) == 0


def test_without_an_answer_the_consensus_stands() -> None:
    compared = candidates()
    compared.choose(SITES)
    assert compared.best().tolist() == [0]
    assert chosen({"a": ([0.0, 0.0, 0.0], 0)}) == 0
    assert chosen({"a": ([9.0, 1.0, 5.0], 0), "b": ([0.2, 0.3, 0.1], 9)}) == 2


def test_how_hard_a_sites_examples_are_does_not_give_it_weight() -> None:
    assert chosen({"a": ([5.0, 5.1], 40), "b": ([0.3, 0.1], 40), "c": ([0.3, 0.1], 40)}) == 1


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3),
    st.integers(0, 2**60),
    st.integers(0, 2),
)
def test_a_liar_cannot_have_a_fragment_chosen_that_the_others_find_worst(
    lie: list[float], n: int, seed: int
) -> None:
    """Two honest sites put the last candidate far behind; no lie of the third brings it up."""
    rng = np.random.default_rng(seed)
    honest = {site: ([0.2, *rng.uniform(0.2, 0.4, 1), 1.5], 40) for site in ("a", "b")}
    assert chosen({**honest, "c": (lie, n)}) != 2


@pytest.mark.parametrize("stage", ["open", "closed", "chosen"])
def test_state_comes_back(stage: str) -> None:
    compared = Candidates(2)
    compared.note(np.array([3, 1]))
    if stage != "open":
        compared.close([np.array([0, 1])])
    if stage == "chosen":
        compared.record("a", np.array([0.5, 0.2]), 4)
        compared.choose(SITES)
    restored = Candidates(2)
    restored.restore(compared.state())
    assert restored.state() == compared.state()
