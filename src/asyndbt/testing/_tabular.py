"""A black box so small that every expectation is a finite sum.

Tests and benchmarks tune it in place of a language model, and compare with exact gradients and the
enumerated optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from asyndbt.optim import (
    NO_WORD,
    Evaluations,
    FloatArray,
    Gradient,
    IntArray,
    Shape,
    uniform_rows,
)
from asyndbt.scoring import Score, Spent, TestScores


@dataclass(frozen=True, slots=True)
class TabularOptimum:
    """The best shared fragment (M,) and demonstrations (W, U), and their expected loss in total."""

    words: IntArray
    demonstrations: IntArray
    loss: float


class TabularProblem:
    """W workers with a table of losses over all fragments, demonstrations and queries.

    ``loss_v(J, K, b) = o_b + sum_i e_{i, J_i} + sum_u d_{u, K_u} + sum_iu m_{i, J_i, u, K_u} +
    interactions``: word effects e are partly shared among workers, demonstration effects d and what
    a word does beside a demonstration, m, are each worker's own, interactions are independent for
    each combination. Sampled losses have normal noise. Without a fragment, `NO_WORD` at every
    position, the loss is the mean over all fragments plus `empty`. The sum over workers of
    ``E_{J ~ p, K ~ q^(v)} mean_b loss_v`` has a pure optimum in p and all q^(v), found by
    enumeration.

    Parameters
    ----------
    shape : Shape
        M, N, U, V; the table has ``N^M V^U`` combinations per worker and query.
    queries : int
        Number of queries per worker.
    interaction : float
        Standard deviation of the interactions; that of main effects is 1.
    pairing : float
        Standard deviation of m: where it is large, the right word depends on the demonstrations.
    agreement : float
        In [0, 1], share of the word effects' variance that all workers have in common.
    noise : float
        Standard deviation of a sampled loss.
    empty : float
        What a prompt without a fragment costs more than one with a random fragment.
    stakes : sequence of float, optional
        (W,) factors of the workers' losses: where they differ, the minimiser of the sum is not what
        most of the workers would vote for.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        workers: int = 3,
        queries: int = 4,
        seed: int = 0,
        interaction: float = 0.1,
        pairing: float = 0.0,
        agreement: float = 0.5,
        noise: float = 0.3,
        empty: float = 1.0,
        stakes: Sequence[float] | None = None,
    ) -> None:
        self.shape = shape
        self.workers = workers
        self.queries = queries
        self.noise, self.empty = noise, empty
        rng = np.random.default_rng(seed)
        self._sizes = (shape.words,) * shape.positions + (shape.candidates,) * shape.slots
        common = rng.normal(size=(shape.positions, shape.words))
        self.tables = np.stack(
            [self._table(rng, common, interaction, agreement) for _ in range(workers)]
        )
        if pairing:
            self.tables += pairing * self._pairs(rng)
        if stakes is not None:
            self.tables *= np.reshape(stakes, (workers,) + (1,) * (self.tables.ndim - 1))

    def _table(
        self, rng: np.random.Generator, common: FloatArray, interaction: float, agreement: float
    ) -> FloatArray:
        """Return one worker's losses, (N, ..., N, V, ..., V, queries)."""
        own = rng.normal(size=common.shape)
        word_effects = np.sqrt(agreement) * common + np.sqrt(1.0 - agreement) * own
        effects = [*word_effects, *rng.normal(size=(self.shape.slots, self.shape.candidates))]
        table = rng.normal(size=self.queries) + interaction * rng.normal(
            size=(*self._sizes, self.queries)
        )
        for axis, effect in enumerate(effects):
            table += effect.reshape((-1,) + (1,) * (len(self._sizes) - axis))
        return table

    def _pairs(self, rng: np.random.Generator) -> FloatArray:
        """Return what words do beside demonstrations, (W, N, ..., N, V, ..., V, 1)."""
        split, axes = self.shape.positions, len(self._sizes)
        effects = np.zeros((self.workers, *self._sizes, 1))
        for position, slot in product(range(split), range(split, axes)):
            kept = {0, 1 + position, 1 + slot}
            whole = (self.workers, *self._sizes, 1)
            effects += rng.normal(
                size=[length if axis in kept else 1 for axis, length in enumerate(whole)]
            )
        return effects

    def expected_loss(self, worker: int, p: FloatArray, q: FloatArray) -> float:
        """Return ``E_{J ~ p, K ~ q} mean_b loss(J, K, b)`` of one worker, exactly."""
        expectation = self._mean_table(worker)
        for row in reversed([*p, *q]):
            expectation = expectation @ row
        return float(expectation)

    def exact_gradient(self, worker: int, p: FloatArray, q: FloatArray) -> Gradient:
        """Return ``E[L | J_i = j]`` (M, N) and ``E[L | K_u = k]`` (U, V), exactly."""
        rows = [*p, *q]
        effects = []
        for kept in range(len(rows)):
            expectation = np.moveaxis(self._mean_table(worker), kept, 0)
            for row in reversed(rows[:kept] + rows[kept + 1 :]):
                expectation = expectation @ row
            effects.append(expectation)
        split = self.shape.positions
        return Gradient(
            np.array(effects[:split]).reshape(p.shape), np.array(effects[split:]).reshape(q.shape)
        )

    def sample_losses(
        self,
        worker: int,
        words: IntArray,
        demonstrations: IntArray,
        queries: IntArray,
        rng: np.random.Generator,
    ) -> Evaluations:
        """Return noisy losses of words (I, M) and demonstrations (I, U) on queries (B,)."""
        chosen = tuple(np.concatenate([words, demonstrations], axis=1).T)
        losses = self.tables[worker][chosen].reshape(words.shape[0], -1)
        without = (words == NO_WORD).any(axis=1)
        plain = self.tables[worker].mean(axis=tuple(range(self.shape.positions))) + self.empty
        losses[without] = plain[tuple(demonstrations[without].T)]
        losses = losses[:, queries]
        losses = losses + self.noise * rng.normal(size=losses.shape)
        return Evaluations(words, demonstrations, queries, losses)

    def optimum(self) -> TabularOptimum:
        """Return the best shared fragment with each worker's best demonstrations for it."""
        totals, choices = self._totals(np.argmin)
        best = int(np.argmin(totals))
        words = np.array(np.unravel_index(best, self._sizes[: self.shape.positions]))
        slots = (self.shape.candidates,) * self.shape.slots
        demonstrations = np.array([np.unravel_index(own[best], slots) for own in choices])
        return TabularOptimum(
            words.astype(np.int64).reshape(self.shape.positions),
            demonstrations.astype(np.int64).reshape(self.workers, self.shape.slots),
            float(totals[best]),
        )

    def loss_range(self) -> float:
        """Return the worst total of the workers' expected losses minus the best."""
        worst, _ = self._totals(np.argmax)
        return float(worst.max()) - self.optimum().loss

    def _totals(self, choose: Callable[..., Any]) -> tuple[FloatArray, list[IntArray]]:
        """Return for each fragment the total of the workers' chosen losses, and the choices."""
        totals = np.zeros(self.shape.words**self.shape.positions)
        choices = []
        for worker in range(self.workers):
            losses = self._mean_table(worker).reshape(totals.size, -1)
            chosen = choose(losses, axis=1)
            totals += losses[np.arange(totals.size), chosen]
            choices.append(chosen)
        return totals, choices

    def _mean_table(self, worker: int) -> FloatArray:
        table: FloatArray = self.tables[worker].mean(axis=-1)
        return table


class TabularObjective:
    """One worker of a `TabularProblem`, whose expected losses are known, so runs can be checked.

    Validation and test losses are relative to the worker's least one, since a coordinator expects
    nats, which are not negative. At most `limit` prompts may be spent on tuning.
    """

    def __init__(
        self, problem: TabularProblem, worker: int, limit: int | None = None, seed: int = 0
    ) -> None:
        self._problem, self._worker, self._limit, self._seed = problem, worker, limit, seed
        self._calls = 0
        self._least = float(problem.tables[worker].mean(axis=-1).min())

    @property
    def shape(self) -> Shape:
        return self._problem.shape

    @property
    def counts(self) -> tuple[int, int, int]:
        """The numbers of queries; validation and test are exact, validation as if of very many."""
        return self._problem.queries, 1_000, 1

    def affords_step(self, prompts: int, queries: int) -> bool:
        return self._limit is None or self._calls + prompts * queries <= self._limit

    def spent(self) -> Spent:
        return Spent(calls=self._calls, requests=self._calls, sent=self._calls)

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        rng = np.random.default_rng([self._seed, self._worker, self._calls])
        self._calls += len(words) * len(queries)
        drawn = self._problem.sample_losses(self._worker, words, demonstrations, queries, rng)
        return drawn.losses

    @property
    def looks_left(self) -> int:
        """Looks are exact and free."""
        return 100_000

    @property
    def comparable(self) -> int:
        return 1_000

    async def compare(
        self, prompts: Sequence[tuple[IntArray, IntArray]], start: int, stop: int
    ) -> FloatArray:
        return np.array([[self._exact(*prompt)] * (stop - start) for prompt in prompts])

    async def validate(self, words: IntArray, demonstrations: IntArray) -> Score:
        return Score(loss=self._exact(words, demonstrations), n=1)

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        tuned = Score(loss=self._exact(words, demonstrations), n=1)
        return TestScores(Score(), Score(), tuned)

    def state(self) -> dict[str, int]:
        return {"calls": self._calls}

    def restore(self, state: Mapping[str, int]) -> None:
        self._calls = state["calls"]

    def reopen(self) -> None:
        pass

    def _exact(self, words: IntArray, demonstrations: IntArray) -> float:
        q = np.eye(self.shape.candidates)[demonstrations]
        without = bool((words == NO_WORD).any())
        p = np.eye(self.shape.words)[words]
        if without:
            p = uniform_rows(*p.shape)
        loss = self._problem.expected_loss(self._worker, p, q) + without * self._problem.empty
        return max(0.0, float(loss) - self._least)
