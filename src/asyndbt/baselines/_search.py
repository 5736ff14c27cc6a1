"""Searches over whole prompts: propose, try on a minibatch, confirm the best few.

A search works at one site in the same space as AsynDBT: a word of the vocabulary at every position
of the fragment and a candidate in every demonstration slot. Prompts are ranked by their mean loss
on training queries; the best few are validated, as many as in AsynDBT, and the least validation
loss wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from asyndbt.baselines._base import BaselineSite
from asyndbt.baselines._predictors import FixedPrompt, Predictor
from asyndbt.errors import BudgetError
from asyndbt.optim import IntArray, Shape
from asyndbt.scoring import PromptObjective

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

    async def confirm(self, pairs: Sequence[Pair]) -> Pair:
        """Validate these prompts, and return the best, the first on a tie."""
        scores = [await self.objective.validate(*pair) for pair in pairs]
        losses = [score.loss if score.n else float("inf") for score in scores]
        return pairs[losses.index(min(losses))]

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


class SiteSearch:
    """A search that spends a site's budget for tuning, one prompt after the other.

    Parameters
    ----------
    site : BaselineSite
    proposer : Proposer
    batch : int
        Training queries per prompt, fewer where the budget covers no more.
    """

    def __init__(self, site: BaselineSite, proposer: Proposer, batch: int) -> None:
        self._site = site
        self._search = Search(
            site.objective, proposer, min(batch, site.allowance), site.integer("queries")
        )
        self._idle, self._spent = 0, -1

    async def advance(self) -> bool:
        """Try a prompt, and return whether the budget and the plan covered it."""
        site, search = self._site, self._search
        most = (len(search.tried) + 1) * search.batch > site.most_prompts
        if self._idle >= _IDLE or most or not site.objective.affords_step(1, search.batch):
            return False
        try:
            loss = await search.trial()
        except BudgetError:
            return False
        calls = site.objective.spent().calls
        self._idle, self._spent = (self._idle + 1 if calls == self._spent else 0), calls
        site.note(len(search.tried), loss)
        return True

    async def finish(self, pairs: Sequence[Pair] = ()) -> tuple[Predictor, int]:
        """Return the choice by validation, and the number of trials.

        Validated are the best of the trials, or the first of `pairs`, as many as the budget covers.
        """
        search, looks = self._search, self._site.objective.validations_left
        pair = await (search.confirm(pairs[: max(1, looks)]) if pairs else search.choose(looks))
        return FixedPrompt.of(self._site.prompts, *pair), len(search.tried)


async def run_search(site: BaselineSite, proposer: Proposer, batch: int) -> tuple[Predictor, int]:
    """Search with a site's whole budget for tuning; return the choice and the number of trials."""
    search = SiteSearch(site, proposer, batch)
    while await search.advance():
        await asyncio.sleep(0)  # the sites take turns
    return await search.finish()
