"""The last choice at a site, against losses that are known."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.federation._final_choice import affordable_options, choose_prompt


class Table:
    """An objective whose losses of prompts, by their first word, are a table."""

    def __init__(self, losses: Any, looks: int) -> None:
        self.losses_of = np.asarray(losses, dtype=np.float64)
        self.comparable = self.losses_of.shape[1]
        self.looks_left = looks
        self.asked = 0

    async def compare(self, prompts: Sequence[Any], start: int, stop: int) -> Any:
        spent = len(prompts) * (stop - start)
        self.asked += spent
        self.looks_left = max(0, self.looks_left - spent)
        return np.array([self.losses_of[words[0], start:stop] for words, _ in prompts])


def prompts(first: int, count: int) -> list[tuple[Any, Any]]:
    return [(np.array([first + k]), np.array([k])) for k in range(count)]


def choice(table: Table, shared: int, own: int = 0) -> int:
    chosen = asyncio.run(
        choose_prompt(table, prompts(0, shared), prompts(shared, own))  # type: ignore[arg-type]
    )
    return int(chosen[0][0])


@given(st.integers(0, 2_000))
def test_as_many_prompts_are_compared_as_the_looks_cover(looks: int) -> None:
    count = affordable_options(looks)
    assert count in (1, 2, 4, 8, 16)
    if count > 1:
        assert looks >= round(math.log2(count)) * count * 2
    if count < 16:
        assert looks < round(math.log2(2 * count)) * 2 * count * 2


@given(st.integers(1, 16), st.integers(0, 15), st.integers(0, 400))
def test_the_best_prompt_wins_where_every_query_shows_it_and_looks_are_kept_to(
    count: int, best: int, looks: int
) -> None:
    losses = np.full((count, 30), 1.0)
    losses[best % count] = 0.0
    table = Table(losses, looks)
    assert choice(table, count) == best % count or looks < 2
    assert table.asked <= max(looks, sum(2**k for k in range(5)) * 2)


def test_one_prompt_is_not_asked_about() -> None:
    table = Table(np.ones((1, 10)), 100)
    assert choice(table, 1) == 0
    assert table.asked == 0


def test_of_equal_prompts_the_likeliest_wins() -> None:
    assert choice(Table(np.ones((8, 20)), 300), 8) == 0


@pytest.mark.parametrize(("gains", "kept"), [(12, True), (1, False), (0, False), (-5, False)])
def test_a_site_keeps_its_own_fragment_only_where_it_is_surely_better(
    gains: int, kept: bool
) -> None:
    losses = np.zeros((2, 40))
    losses[0 if gains > 0 else 1, : abs(gains)] = 1.0
    losses[1, 20:23] = 1.0
    losses[0, 23:26] = 1.0
    assert choice(Table(losses, 200), 1, 1) == int(kept)


def test_the_best_shared_prompt_stays_in_the_comparison_beside_better_own_ones() -> None:
    """All own prompts are a little better, none surely."""
    losses = np.zeros((8, 40))
    losses[:4, [10, 30]] = 1.0
    losses[4:, 5] = 1.0
    assert choice(Table(losses, 400), 4, 4) < 4


def test_failed_requests_decide_nothing() -> None:
    losses = np.full((4, 20), np.nan)
    losses[2] = 0.5
    assert choice(Table(losses, 200), 4) == 2
    assert choice(Table(np.full((4, 20), np.nan), 200), 2, 2) == 0


def test_a_shared_fragment_that_gets_no_answer_is_not_kept() -> None:
    losses = np.full((4, 20), np.nan)
    losses[2:] = 0.1
    assert choice(Table(losses, 200), 2, 2) >= 2


def test_two_queries_are_no_evidence_for_a_fragment_of_ones_own() -> None:
    losses = np.ones((2, 2))
    losses[1] = 0.0
    assert choice(Table(losses, 200), 1, 1) == 0
