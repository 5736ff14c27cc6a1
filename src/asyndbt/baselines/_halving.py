"""Successive halving over random prompts.

Source: Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits", ICML 2013,
algorithm 2 (sequential halving).

Steps: draw prompts uniformly; every round scores those left on the same new training queries, twice
as many as in the round before, and keeps the better half by mean loss so far, so that rounds cost
the same. The last one takes all remaining queries, and so may cost more. The number of prompts uses
the budget up. Those left after the last round are validated, and the least validation loss wins.

Departures: the source halves until one arm is left, without validation data; here validation
decides among the last few, as often as in AsynDBT. Losses of earlier rounds are kept, and the arms
of a round share their queries, which removes the variance between queries.

A call is spent on: one prompt for one training query; validation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import FixedPrompt, Predictor
from asyndbt.baselines._search import Pair, RandomProposer
from asyndbt.errors import BudgetError, ConfigError
from asyndbt.optim import FloatArray, IntArray
from asyndbt.scoring import Objective


@dataclass(frozen=True, slots=True)
class Halving(PerSiteBaseline):
    """Successive halving.

    Parameters
    ----------
    rounds : int
        One more than the halvings; at least 2^(rounds - 1) times as many prompts are drawn as
        confirmed, if the budget covers that.
    """

    rounds: int = 4
    name: ClassVar[str] = "halving"
    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations", "fragment")
    tunes_fragment: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ConfigError(f"rounds = {self.rounds}: give 1 or more")

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Search."""
        pair = await halving_search(
            site.objective,
            site.integer("proposals"),
            calls=site.allowance,
            each=site.objective.content_free,
            rounds=self.rounds,
            validations=max(1, site.objective.validations_left),
            tell=site.note,
        )
        return FixedPrompt.of(site.prompts, *pair), self.rounds


async def halving_search(
    objective: Objective,
    seed: int,
    *,
    calls: int,
    each: int = 0,
    rounds: int = 4,
    validations: int = 10,
    tell: Callable[[int, float], None] = lambda level, loss: None,
) -> Pair:
    """Halve a set of random prompts until `validations` are left, then confirm those.

    Parameters
    ----------
    calls : int
        Most calls before the confirmation.
    each : int
        Calls that a prompt costs besides one for every query.
    tell : callable
        Receives the number of every round and the least mean loss in it, nats.
    """
    queries = np.random.default_rng([seed, 102]).permutation(objective.counts[0])
    sizes, count = _design(calls, each, queries.size, min(rounds, calls), validations)
    proposer = RandomProposer(objective.shape, seed)
    pairs: list[Pair] = [proposer.propose() for _ in range(count)]
    sums, spent = np.zeros((2, count)), each * count
    alive = np.arange(count)
    for level, size in enumerate(sizes):
        last = level == len(sizes) - 1
        new, queries = np.split(queries, [min(size, (calls - spent) // alive.size)])
        if not new.size:
            break
        spent += new.size * alive.size
        try:
            losses = await _losses(objective, [pairs[k] for k in alive], new)
        except BudgetError:
            break
        sums[0, alive] += np.nansum(losses, axis=1)
        sums[1, alive] += np.isfinite(losses).sum(axis=1)
        means = np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1), np.inf)
        tell(level + 1, float(means[alive].min()))
        await asyncio.sleep(0)  # the sites take turns
        alive = alive[np.argsort(means[alive], kind="stable")]
        if not last:
            alive = alive[: max(1, alive.size // 2)]
    alive = alive[:validations]
    scores = [await objective.validate(*pairs[k]) for k in alive]
    best = min(range(alive.size), key=lambda k: (not scores[k].n, scores[k].loss))
    return pairs[int(alive[best])]


def _design(
    calls: int, each: int, queries: int, rounds: int, validations: int
) -> tuple[list[int], int]:
    """Return the number of queries of every round, and the number of prompts at first.

    Rounds that double cost the same. As no query is used twice, few of them need many prompts; the
    last round has all that are left.
    """
    doubled = 2**rounds - 1
    first = max(1, min(calls // (rounds * validations * 2 ** (rounds - 1)), queries // doubled))
    sizes = [first * 2**level for level in range(rounds) if first * 2**level <= queries]
    while sum(sizes) > queries:
        sizes.pop()
    cost = each + sum(size / 2**level for level, size in enumerate(sizes))
    sizes[-1] += queries - sum(sizes)
    return sizes, max(1, int(calls / cost))


async def _losses(objective: Objective, pairs: Sequence[Pair], queries: IntArray) -> FloatArray:
    words, shown = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    return await objective.losses(words, shown, queries)
