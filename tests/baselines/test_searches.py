"""Searches on tables with known answers."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
import pytest

from asyndbt.baselines._halving import Halving, halving_search
from asyndbt.baselines._search import Pair, RandomProposer
from asyndbt.baselines._tpe import TpeProposer
from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.optim import FloatArray, IntArray, Shape
from asyndbt.testing import TabularObjective, TabularProblem

SHAPE = Shape(1, 3, 1, 3)


def loss(problem: TabularProblem, pair: Pair) -> float:
    words, shown = (np.eye(3)[part] for part in pair)
    return problem.expected_loss(0, words, shown)


class Recorder(TabularObjective):
    """Writes down for which queries every round has asked."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[int] = []

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        self.asked += queries.tolist()
        return await super().losses(words, demonstrations, queries)


@pytest.mark.parametrize("seed", range(8))
def test_halving_finds_the_best_of_a_table_without_noise(seed: int) -> None:
    """It is among the 80 draws from 9 prompts, and no half of a round can lose it."""
    problem = TabularProblem(SHAPE, workers=1, seed=seed, interaction=0.0, noise=0.0)
    objective = TabularObjective(problem, 0)
    pair = asyncio.run(halving_search(objective, seed, calls=2_000))
    assert loss(problem, pair) == pytest.approx(problem.optimum().loss)


@pytest.mark.parametrize("calls", [1, 2, 3, 7, 40, 333])
def test_halving_never_asks_more_than_it_was_given(calls: int) -> None:
    problem = TabularProblem(SHAPE, workers=1, queries=50)
    objective = TabularObjective(problem, 0)
    asyncio.run(halving_search(objective, 0, calls=calls))
    assert objective.spent().calls <= calls


def test_every_round_of_halving_costs_the_same() -> None:
    objective = TabularObjective(TabularProblem(SHAPE, workers=1, queries=500), 0)
    at = [0]
    tell = lambda level, loss: at.append(objective.spent().calls)  # noqa: E731
    asyncio.run(halving_search(objective, 0, calls=4_000, tell=tell))
    assert np.diff(at) == pytest.approx(np.full(4, 1_000), rel=0.1)


@pytest.mark.parametrize("queries", [1, 3, 6, 20, 40, 1_000])
@pytest.mark.parametrize("calls", [150, 1_850])
def test_halving_uses_its_budget_up_and_asks_nothing_twice(queries: int, calls: int) -> None:
    objective = Recorder(TabularProblem(SHAPE, workers=1, queries=queries), 0)
    asyncio.run(halving_search(objective, 0, calls=calls))
    assert 0.9 * calls <= objective.spent().calls <= calls
    assert len(objective.asked) == len(set(objective.asked))


def test_halving_has_a_round() -> None:
    with pytest.raises(ConfigError, match="rounds = 0"):
        Halving(rounds=0)


def test_random_proposals_are_all_prompts_alike() -> None:
    proposer = RandomProposer(Shape(1, 2, 1, 2), seed=3)
    drawn = [tuple(np.concatenate(proposer.propose())) for _ in range(400)]
    counts = [drawn.count(pair) for pair in set(drawn)]
    assert len(counts) == 4
    assert min(counts) > 60


def test_tpe_learns_where_losses_are_small() -> None:
    proposer = TpeProposer(Shape(2, 6, 1, 4), seed=0)
    found = []
    for _ in range(80):
        words, shown = proposer.propose()
        value = float((words != 2).sum() + (shown != 1).sum())
        proposer.learn(value)
        found.append(value)
    assert np.mean(found[-20:]) < np.mean(found[:20])
    assert min(found) == 0.0


def test_tpe_goes_on_when_nothing_was_answered() -> None:
    proposer = TpeProposer(Shape(1, 3, 0, 0), seed=0)
    for value in (float("inf"), 1.0, float("inf"), 2.0):
        proposer.propose()
        proposer.learn(value)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[study\]"):
        TpeProposer(SHAPE, 0)
