"""The black box as a worker sees it: draws in, losses out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from asyndbt.federation.messages import Score, Spent
from asyndbt.optim import FloatArray, IntArray, Shape, TabularProblem

__all__ = ["Objective", "TabularObjective", "TestScores"]


@dataclass(frozen=True, slots=True)
class TestScores:
    """Scores on the test split: plain prompt, random demonstrations, tuned prompt."""

    __test__ = False

    plain: Score
    random_icl: Score
    tuned: Score


class Objective(Protocol):
    """One site's data behind its language model.

    Implementations: `TabularObjective` and ``asyndbt.federation.PromptObjective``.
    """

    @property
    def shape(self) -> Shape:
        """Sizes of the site's problem."""
        ...

    @property
    def counts(self) -> tuple[int, int, int]:
        """Training, validation and test examples."""
        ...

    def affords_step(self, prompts: int) -> bool:
        """Whether the budget for tuning covers this many more prompts, whatever they cost."""
        ...

    def spent(self) -> Spent:
        """Figures since the start of the run."""
        ...

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Losses (I, B) in nats of draws (I, M), (I, U) on training queries (B,); NaN = failed."""
        ...

    async def validate(self, words: IntArray, demonstrations: IntArray) -> Score:
        """Score one prompt, (M,) and (U,), on the validation split; n = 0 if there is none."""
        ...

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        """Score one prompt and the two references on the test split."""
        ...

    def state(self) -> dict[str, int]:
        """Counts that belong into the worker's checkpoint."""
        ...

    def restore(self, state: Mapping[str, int]) -> None:
        """Take over what `state` wrote."""
        ...

    def reopen(self) -> None:
        """Get ready to tune further after an end that was not the last."""
        ...


class TabularObjective:
    """One worker of a `TabularProblem`: every expected loss is known, so runs can be checked.

    Validation and test losses are told above the worker's least one: losses are nats, never
    negative, and the coordinator takes them so.

    Parameters
    ----------
    problem : TabularProblem
    worker : int
        Which of its workers this is.
    limit : int or None
        Prompts that may be spent on tuning.
    seed : int
        Of the noise.
    """

    def __init__(
        self, problem: TabularProblem, worker: int, limit: int | None = None, seed: int = 0
    ) -> None:
        self._problem, self._worker, self._limit, self._seed = problem, worker, limit, seed
        self._calls = 0
        self._least = float(problem.tables[worker].mean(axis=-1).min())

    @property
    def shape(self) -> Shape:
        """Sizes of the problem."""
        return self._problem.shape

    @property
    def counts(self) -> tuple[int, int, int]:
        """As many training queries as the table has; validation and test are exact."""
        return self._problem.queries, 1, 1

    def affords_step(self, prompts: int) -> bool:
        """Whether the limit covers this many more prompts."""
        return self._limit is None or self._calls + prompts <= self._limit

    def spent(self) -> Spent:
        """Prompts so far."""
        return Spent(calls=self._calls, requests=self._calls, sent=self._calls)

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Noisy losses from the table."""
        rng = np.random.default_rng([self._seed, self._worker, self._calls])
        self._calls += len(words) * len(queries)
        drawn = self._problem.sample_losses(self._worker, words, demonstrations, queries, rng)
        return drawn.losses

    async def validate(self, words: IntArray, demonstrations: IntArray) -> Score:
        """Return the exact expected loss."""
        return Score(loss=self._exact(words, demonstrations), n=1)

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        """Return the exact expected loss of the tuned prompt."""
        tuned = Score(loss=self._exact(words, demonstrations), n=1)
        return TestScores(Score(), Score(), tuned)

    def state(self) -> dict[str, int]:
        """Prompts so far."""
        return {"calls": self._calls}

    def restore(self, state: Mapping[str, int]) -> None:
        """Take over what `state` wrote."""
        self._calls = state["calls"]

    def reopen(self) -> None:
        """Nothing to get ready."""

    def _exact(self, words: IntArray, demonstrations: IntArray) -> float:
        p = np.eye(self.shape.words)[words]
        q = np.eye(self.shape.candidates)[demonstrations]
        return max(0.0, float(self._problem.expected_loss(self._worker, p, q)) - self._least)
