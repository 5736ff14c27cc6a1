"""The black-box objective of a worker: draws in, losses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from asyndbt.lm import LabelPrior
from asyndbt.optim import FloatArray, IntArray, Shape


@dataclass(frozen=True, slots=True)
class Spent:
    """A site's usage since the start of the run.

    `calls`, tokens and money were charged to the budget.  Of the `requests`, `cached` ones were
    answered from the cache; `sent` counts requests to the provider.  `failed` prompts were given
    up, `refused` ones the provider will not answer, and `unparsed` answers name no label.
    """

    calls: int = 0
    requests: int = 0
    cached: int = 0
    sent: int = 0
    failed: int = 0
    refused: int = 0
    unparsed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Correct answers out of `n` and mean loss in nats; over several draws, means and spread.

    `spread` is the standard deviation of the accuracy over draws.
    """

    correct: float = 0.0
    n: int = 0
    loss: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class TestScores:
    """Scores on the test split: plain prompt, random demonstrations, tuned prompt.

    `prior` is what the tuned prompt's answers were calibrated with, if they were.
    """

    __test__ = False

    plain: Score
    random_icl: Score
    tuned: Score
    prior: LabelPrior | None = None


class Objective(Protocol):
    """One site's data behind its language model.

    Implementations: ``asyndbt.scoring.PromptObjective``,
    ``asyndbt.testing.TabularObjective``.
    """

    @property
    def shape(self) -> Shape:
        """Sizes of the site's problem."""
        ...

    @property
    def counts(self) -> tuple[int, int, int]:
        """Training, validation and test examples."""
        ...

    def affords_step(self, prompts: int, queries: int) -> bool:
        """Whether the tuning budget covers so many prompts on so many queries each."""
        ...

    def spent(self) -> Spent:
        """Usage since the start of the run."""
        ...

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Losses (I, B) in nats of draws (I, M), (I, U) on training queries (B,); NaN = failed."""
        ...

    @property
    def looks_left(self) -> int:
        """Prompts that `validate` and `compare` may still ask."""
        ...

    @property
    def comparable(self) -> int:
        """Queries on which prompts can be compared."""
        ...

    async def compare(
        self, prompts: Sequence[tuple[IntArray, IntArray]], start: int, stop: int
    ) -> FloatArray:
        """Losses (C, stop - start) in nats of prompts, (M,) and (U,) each, on the same queries.

        NaN where a request failed, or the budget does not cover it.
        """
        ...

    async def validate(self, words: IntArray, demonstrations: IntArray) -> Score:
        """Score one prompt, (M,) and (U,), on the validation split; n = 0 if there is none."""
        ...

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        """Score one prompt and the two references on the test split."""
        ...

    def state(self) -> dict[str, Any]:
        """Return JSON for the worker's checkpoint."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        ...

    def reopen(self) -> None:
        """Return to tuning after an evaluation."""
        ...
