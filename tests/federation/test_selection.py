"""The selection of the fragment on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.federation._selection import FragmentSelection

SITES = ("a", "b", "c")


def closed(count: int = 3) -> FragmentSelection:
    compared = FragmentSelection(count)
    compared.close([np.array([index]) for index in range(count)])
    return compared


def chosen(losses: Mapping[str, tuple[Sequence[float], int]]) -> int:
    compared = closed(len(next(iter(losses.values()))[0]))
    for site, (values, n) in losses.items():
        compared.record(site, np.array(values), n)
    compared.choose(sorted(losses))
    return int(compared.best()[0])


def test_final_read_outs_come_first_then_what_stood_longest_then_what_most_sites_have() -> None:
    compared = FragmentSelection(8)
    for index in (5, 6, 7, 6, 8):
        compared.note(np.array([index]))
    finals = [np.array([9]), np.array([9]), np.array([7])]
    compared.close(finals, [np.array([index]) for index in (3, 2, 1, 2, 6)])
    assert compared.fragments == [(9,), (7,), (6,), (8,), (5,), (2,), (1,), (3,)]


@given(st.permutations(range(6)))
def test_the_order_of_the_sites_does_not_change_what_is_compared(order: list[int]) -> None:
    own = [np.array([index]) for index in (4, 4, 5, 6, 6, 7)]
    lists = []
    for sites in (own, [own[index] for index in order]):
        compared = FragmentSelection(4)
        compared.close([np.array([0])], sites)
        lists.append(compared.fragments)
    assert lists[0] == lists[1]


@given(st.lists(st.floats(0, 1e9), min_size=3, max_size=3), st.integers(40, 2**53))
def test_of_two_sites_a_liar_weighs_no_more_than_the_other(lie: list[float], n: int) -> None:
    """However many examples it claims, it has the weight of the other; and no veto."""
    honest = [0.2, 0.9, 1.5]
    claimed = chosen({"a": (honest, 40), "b": (lie, n)})
    assert claimed == chosen({"a": (honest, 40), "b": (lie, 40)})
    assert chosen({"a": ([0.2, 0.2, 1.5], 40), "b": ([1.0, 0.0, 0.0], n)}) == 1


def test_the_least_loss_over_all_examples_wins_and_the_first_on_a_tie() -> None:
    assert chosen({"a": ([0.5, 0.4, 0.7], 40), "b": ([0.3, 0.35, 0.2], 40)}) == 1
    assert chosen({"a": ([0.5, 0.4], 40), "b": ([0.4, 0.5], 40)}) == 0


def test_without_an_answer_the_consensus_stands() -> None:
    compared = closed()
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
    """Two honest sites put the last fragment far behind; no lie of the third brings it up."""
    rng = np.random.default_rng(seed)
    honest = {site: ([0.2, *rng.uniform(0.2, 0.4, 1), 1.5], 40) for site in ("a", "b")}
    assert chosen({**honest, "c": (lie, n)}) != 2


@pytest.mark.parametrize("stage", ["open", "closed", "chosen"])
def test_state_comes_back(stage: str) -> None:
    compared = FragmentSelection(2)
    compared.note(np.array([3, 1]))
    if stage != "open":
        compared.close([np.array([0, 1])])
    if stage == "chosen":
        compared.record("a", np.array([0.5, 0.2]), 4)
        compared.choose(SITES)
    restored = FragmentSelection(2)
    restored.restore(compared.state())
    assert restored.state() == compared.state()
