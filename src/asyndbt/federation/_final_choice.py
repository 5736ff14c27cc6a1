"""The last choice at a site: which of its best prompts it keeps, by successive halving.

All options are compared on the same few queries, the better half on more, and so on, until the
looks kept back are used (Karnin et al., ICML 2013; Jamieson and Talwalkar, AISTATS 2016). What the
estimator expects after all answers of the run counts like `_PRIOR` further queries. A site keeps
its own fragment in place of the one that all sites chose only where its own is better by more than
the standard error of the difference: what other sites say can cost a site no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from asyndbt.optim import FloatArray, IntArray
from asyndbt.scoring import Objective

Prompt = tuple[IntArray, IntArray]
"""Word indices (M,) and candidate indices (U,)."""
Expect = Callable[[Sequence[Prompt]], FloatArray | None]
"""Losses (C,) to expect of prompts; None if nothing is known."""
_MOST = 16
_PRIOR = 16
_LEAST_QUERIES = 2
"""Queries of every option in the first round."""
_LEAST_GAINS = 8
"""Queries that both prompts have answered, with fewer of which nothing is sure."""


def affordable_options(looks: int) -> int:
    """Return how many prompts can be compared with so many looks: a power of two, up to 16."""
    count = _MOST
    while count > 1 and looks < round(math.log2(count)) * count * _LEAST_QUERIES:
        count //= 2
    return count


async def choose_prompt(
    objective: Objective,
    shared: Sequence[Prompt],
    own: Sequence[Prompt],
    expect: Expect = lambda prompts: None,
) -> Prompt:
    """Compare prompts with the looks that are left, and return the best.

    Parameters
    ----------
    objective : Objective
    shared : sequence of Prompt
        With the fragment that was chosen for all sites, likeliest first.
    own : sequence of Prompt
        With the site's own fragment, likeliest first.
    expect : callable, optional
        Compares prompts of either kind with their like; what a site expects of its own fragment
        beside the shared one is no evidence, since the own was chosen by it.
    """
    options = [*shared, *own]
    kinds = [kind for kind in (shared, own) if kind]
    expected = np.concatenate([_centred(expect(kind), len(kind)) for kind in kinds])
    losses = np.full((len(options), objective.comparable), np.nan)
    alive, seen = list(range(len(options))), 0
    rounds = math.ceil(math.log2(len(options))) if len(options) > 1 else 0
    for number in range(rounds):
        looks = objective.looks_left // (rounds - number)
        stop = min(objective.comparable, seen + max(1, looks // len(alive)))
        if stop > seen:
            prompts = [options[k] for k in alive]
            losses[alive, seen:stop] = await objective.compare(prompts, seen, stop)
            seen = stop
        alive = _better_half(alive, shrunk_means(losses, expected), len(shared))
    means = shrunk_means(losses, expected)
    of_shared, of_own = (
        min((k for k in alive if (k < len(shared)) == kind), key=lambda k: means[k], default=None)
        for kind in (True, False)
    )
    if of_own is None or of_shared is None:
        return options[of_shared or 0]
    refused = not np.isfinite(means[of_shared]) and np.isfinite(means[of_own])
    if refused or _surely_better(losses[of_own], losses[of_shared]):
        return options[of_own]
    return options[of_shared]


def _better_half(alive: list[int], means: FloatArray, shared: int) -> list[int]:
    """Return the half with the least mean losses, and the best of either kind in any case."""
    ordered = sorted(alive, key=lambda k: (means[k], k))
    best = {k < shared: k for k in reversed(ordered)}
    kept = {*ordered[: math.ceil(len(ordered) / 2)], *best.values()}
    return [k for k in ordered if k in kept]


def shrunk_means(losses: FloatArray, expected: FloatArray | None) -> FloatArray:
    """Return (C,) means of losses (C, n), NaN where unknown, shrunk towards what is expected.

    Of the expected losses (C,) only differences count. A prompt without any answer is infinitely
    bad.
    """
    known = np.isfinite(losses)
    counts, sums = known.sum(axis=1), np.where(known, losses, 0.0).sum(axis=1)
    prior = sums.sum() / max(counts.sum(), 1) + _centred(expected, len(losses))
    means: FloatArray = (sums + _PRIOR * prior) / (counts + _PRIOR)
    return np.where(counts > 0, means, np.inf)


def _centred(expected: FloatArray | None, count: int) -> FloatArray:
    return np.zeros(count) if expected is None else expected - expected.mean()


def _surely_better(own: FloatArray, shared: FloatArray) -> bool:
    gains = (shared - own)[np.isfinite(shared - own)]
    if gains.size < _LEAST_GAINS:
        return False
    return bool(gains.mean() > gains.std(ddof=1) / math.sqrt(gains.size))
