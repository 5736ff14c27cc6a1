"""Searches over whole prompts: propose, try on a minibatch, confirm the best few.

A search works at one site in the same space as AsynDBT: a word of the vocabulary at every position
of the fragment and a candidate in every demonstration slot. Prompts are ranked by their mean loss
on training queries; the best few are validated, as many as in AsynDBT, and the least validation
loss wins.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from asyndbt.baselines._base import BaselineSite
from asyndbt.baselines._predictors import FixedPrompt, Predictor
from asyndbt.errors import BudgetError
from asyndbt.federation import PromptObjective
from asyndbt.optim import IntArray, Shape

Pair = tuple[IntArray, IntArray]
"""A prompt: word indices (M,) and demonstration indices (U,)."""

_IDLE = 100
"""Trials in a row without a new request, after which the space counts as searched."""


class Proposer(Protocol):
    """Proposes prompts to try, and learns from their losses."""

    def propose(self) -> Pair:
        """Return a prompt."""
        ...

    def learn(self, loss: float) -> None:
        """Learn from the loss of the last prompt; infinite if no request was answered."""


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


@dataclass
class Search:
    """A search whose choice is available at any time.

    Parameters
    ----------
    batch : int
        Training queries per prompt: the next ones of an endless shuffled pass.
    seed : int
        Of the order of the queries.
    tried : list of (float, Pair)
        Every prompt with its loss, nats.
    confirmed : dict of int to float
        Validation losses by index into `tried`.
    """

    objective: PromptObjective
    proposer: Proposer
    batch: int = 10
    seed: int = 0
    tried: list[tuple[float, Pair]] = field(default_factory=list)
    confirmed: dict[int, float] = field(default_factory=dict)

    async def trial(self) -> float:
        """Try one prompt on one minibatch; return its loss, infinite if nothing was answered."""
        pair = self.proposer.propose()
        order = np.random.default_rng([self.seed, 102]).permutation(self.objective.counts[0])
        start = len(self.tried) * self.batch
        queries = order[np.arange(start, start + self.batch) % order.size]
        losses = await self.objective.losses(pair[0][None], pair[1][None], queries)
        answered = losses[np.isfinite(losses)]
        loss = float(answered.mean()) if answered.size else float("inf")
        self.proposer.learn(loss)
        self.tried.append((loss, pair))
        return loss

    async def choose(self, validations: int) -> Pair:
        """Validate the best prompts so far, unless done before, and return the best."""
        ranks = sorted(range(len(self.tried)), key=lambda k: self.tried[k][0])[
            : max(1, validations)
        ]
        for rank in ranks:
            if rank not in self.confirmed:
                score = await self.objective.validate(*self.tried[rank][1])
                self.confirmed[rank] = score.loss if score.n else float("inf")
        return self.tried[min(ranks, key=lambda k: (self.confirmed[k], self.tried[k][0]))][1]


async def run_search(site: BaselineSite, proposer: Proposer, batch: int) -> tuple[Predictor, int]:
    """Search with a site's whole budget for tuning; return the choice and the number of trials."""
    most, idle, spent = site.most_prompts, 0, -1
    batch = min(batch, site.allowance)
    search = Search(site.objective, proposer, batch, site.integer("queries"))
    while idle < _IDLE and (len(search.tried) + 1) * batch <= most:
        try:
            if not site.objective.affords_step(batch):
                break
            loss = await search.trial()
        except BudgetError:
            break
        calls = site.objective.spent().calls
        idle, spent = (idle + 1 if calls == spent else 0), calls
        site.note(len(search.tried), loss)
        await asyncio.sleep(0)  # the sites take turns
    pair = await search.choose(site.objective.validations_left)
    return FixedPrompt.of(site.prompts, *pair), len(search.tried)
