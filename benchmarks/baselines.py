"""The searches that AsynDBT is compared with: random search and TPE, for benchmarks only.

Not a benchmark itself. A search works at one site on what `asyndbt.run.assembly` prepared for it:
the same split, vocabulary and demonstration slots, so the same space of prompts, asked through the
same gateway, so counted by the same ledger and stopped by the same budget. Prompts are ranked by
their mean loss on training queries; the best few are scored on the validation split (as many looks
as AsynDBT is given, also out of the same budget) and the least validation loss wins.

* `halving_search`: random prompts, successive halving (Karnin, Koren and Somekh, ICML 2013).
* `Search` with `RandomProposer`: random prompts, each on one minibatch.
* `Search` with `TpeProposer`: optuna's tree-structured Parzen estimator over one categorical
  variable per word and per demonstration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import optuna

from asyndbt.federation import PromptObjective, TestScores, Worker
from asyndbt.optim import FloatArray, IntArray, Shape
from asyndbt.run.assembly import RunSite

__all__ = [
    "Pair",
    "Proposer",
    "RandomProposer",
    "Search",
    "TpeProposer",
    "halving_search",
    "objective_of",
    "test",
]

LOOKS = 10
"""Prompts confirmed on the validation split: as many looks as a run of AsynDBT has."""

Pair = tuple[IntArray, IntArray]
"""A prompt: word indices (M,) and demonstration indices (U,)."""


class Proposer(Protocol):
    """Says which prompt to try next, and is told how it did."""

    def propose(self) -> Pair:
        """Return a prompt."""
        ...

    def learn(self, loss: float) -> None:
        """Take in the loss of the prompt proposed last."""
        ...


class RandomProposer:
    """Uniform over all prompts."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._shape, self._rng = shape, np.random.default_rng([seed, 101])

    def propose(self) -> Pair:
        """Return a prompt."""
        shape = self._shape
        words = self._rng.integers(shape.words, size=shape.positions)
        return words, self._rng.integers(shape.candidates, size=shape.slots)

    def learn(self, loss: float) -> None:
        """Learn nothing."""


class TpeProposer:
    """Optuna's `TPESampler` with its own defaults."""

    def __init__(self, shape: Shape, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._shape = shape
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._trial: optuna.Trial | None = None

    def propose(self) -> Pair:
        """Return a prompt."""
        self._trial = trial = self._study.ask()
        shape = self._shape
        words = [
            trial.suggest_categorical(f"word {i}", range(shape.words))
            for i in range(shape.positions)
        ]
        shown = [
            trial.suggest_categorical(f"slot {u}", range(shape.candidates))
            for u in range(shape.slots)
        ]
        return np.array(words, dtype=np.int64), np.array(shown, dtype=np.int64)

    def learn(self, loss: float) -> None:
        """Take in the loss of the prompt proposed last."""
        assert self._trial is not None
        self._study.tell(self._trial, loss)


@dataclass
class Search:
    """A search that can be asked for its choice at any time.

    Parameters
    ----------
    objective : PromptObjective
    proposer : Proposer
    batch : int
        Training queries per prompt: the next ones of an endless shuffled pass.
    seed : int
        Of the order of the queries.
    """

    objective: PromptObjective
    proposer: Proposer
    batch: int = 10
    seed: int = 0
    tried: list[tuple[float, Pair]] = field(default_factory=list)
    confirmed: dict[int, float] = field(default_factory=dict)

    async def trial(self) -> None:
        """Try one prompt on one minibatch."""
        pair = self.proposer.propose()
        order = np.random.default_rng([self.seed, 102]).permutation(self.objective.counts[0])
        start = len(self.tried) * self.batch
        queries = order[np.arange(start, start + self.batch) % order.size]
        loss = float(np.nanmean(await self.objective.losses(pair[0][None], pair[1][None], queries)))
        self.proposer.learn(loss)
        self.tried.append((loss, pair))

    async def choose(self, looks: int = LOOKS) -> Pair:
        """Confirm the `looks` best so far on the validation split; those known cost nothing."""
        ranks = sorted(range(len(self.tried)), key=lambda k: self.tried[k][0])[:looks]
        for rank in ranks:
            if rank not in self.confirmed:
                score = await self.objective.validate(*self.tried[rank][1])
                self.confirmed[rank] = score.loss if score.n else float("inf")
        return self.tried[min(ranks, key=lambda k: (self.confirmed[k], self.tried[k][0]))][1]

    async def spend(self) -> Pair:
        """Try prompts until the budget for tuning is used, then choose."""
        while affords(self.objective, self.batch):
            await self.trial()
        return await self.choose()


async def halving_search(
    objective: PromptObjective, seed: int, rounds: int = 4, looks: int = LOOKS
) -> Pair:
    """Halve a set of random prompts until `looks` are left, then confirm those.

    Every round spends the same number of calls: half as many prompts, twice as many queries, the
    same queries for all prompts of the round. Prompts are ranked by their mean loss so far.
    """
    calls = objective.gateway.budget.remaining().calls
    assert calls is not None
    count = looks * 2 ** (rounds - 1)
    proposer = RandomProposer(objective.shape, seed)
    pairs: list[Pair] = [proposer.propose() for _ in range(count)]
    order = np.random.default_rng([seed, 102]).permutation(objective.counts[0])
    first = max(1, calls // rounds // count)
    sums, seen = np.zeros(count), 0
    alive = np.arange(count)
    for level in range(rounds):
        size = min(first * 2**level, order.size)
        queries = order[np.arange(seen, seen + size) % order.size]
        seen += size
        sums[alive] += (await _losses(objective, [pairs[k] for k in alive], queries)).sum(axis=1)
        if level < rounds - 1:
            alive = alive[np.argsort(sums[alive], kind="stable")[: alive.size // 2]]
    scores = [await objective.validate(*pairs[k]) for k in alive]
    best = min(range(alive.size), key=lambda k: (not scores[k].n, scores[k].loss))
    return pairs[int(alive[best])]


async def _losses(objective: PromptObjective, pairs: list[Pair], queries: IntArray) -> FloatArray:
    words, shown = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    return await objective.losses(words, shown, queries)


async def test(objective: PromptObjective, pair: Pair, seed: int) -> TestScores:
    """Score the site's test split under the chosen prompt and the two references."""
    return await objective.test(*pair, np.random.default_rng([seed, 103]))


def affords(objective: PromptObjective, calls: int) -> bool:
    """Whether this many calls are left beside what is kept back for validation and test."""
    left = objective.gateway.budget.remaining().calls
    return left is None or left >= calls


def objective_of(site: RunSite) -> PromptObjective:
    """Return the objective of a site that was assembled for a run."""
    worker: Worker = site.worker
    assert isinstance(worker.objective, PromptObjective)
    return worker.objective
