"""The last choice at a site: which of its best prompts it keeps, by successive halving.

All options are compared on the same few queries, the better half on more, and so on, until the
looks kept back are used (Karnin et al., ICML 2013; Jamieson and Talwalkar, AISTATS 2016). A site
keeps its own fragment in place of the one that all sites chose only where its own is better by
more than the standard error of the difference: what other sites say can cost a site no more than
that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from asyndbt.federation._objective import Objective
from asyndbt.optim import FloatArray, IntArray

Prompt = tuple[IntArray, IntArray]
"""Word indices (M,) and candidate indices (U,)."""
_MOST = 16
_LEAST_QUERIES = 2
"""Queries of every option in the first round."""


def affordable_options(looks: int) -> int:
    """Return how many prompts can be compared with so many looks: a power of two, up to 16."""
    count = _MOST
    while count > 1 and looks < round(math.log2(count)) * count * _LEAST_QUERIES:
        count //= 2
    return count


async def choose_prompt(
    objective: Objective, shared: Sequence[Prompt], own: Sequence[Prompt]
) -> Prompt:
    """Compare prompts with the looks that are left, and return the best.

    Parameters
    ----------
    objective : Objective
    shared : sequence of Prompt
        With the fragment that was chosen for all sites, likeliest first.
    own : sequence of Prompt
        With the site's own fragment, likeliest first.
    """
    options = [*shared, *own]
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
        alive = _better_half(alive, losses, len(shared))
    means = _means(losses)
    of_shared, of_own = (
        min((k for k in alive if (k < len(shared)) == kind), key=lambda k: means[k], default=None)
        for kind in (True, False)
    )
    if of_own is None or of_shared is None or not _surely_better(losses[of_own], losses[of_shared]):
        return options[of_shared or 0]
    return options[of_own]


def _better_half(alive: list[int], losses: FloatArray, shared: int) -> list[int]:
    """Return the half with the least mean losses, and the best of either kind in any case."""
    means = _means(losses)
    ordered = sorted(alive, key=lambda k: (means[k], k))
    best = {k < shared: k for k in reversed(ordered)}
    kept = {*ordered[: math.ceil(len(ordered) / 2)], *best.values()}
    return [k for k in ordered if k in kept]


def _means(losses: FloatArray) -> FloatArray:
    """Return (C,) mean losses; infinite without an answer."""
    known = np.isfinite(losses)
    counts = known.sum(axis=1)
    sums = np.where(known, losses, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def _surely_better(own: FloatArray, shared: FloatArray) -> bool:
    gains = (shared - own)[np.isfinite(shared - own)]
    if gains.size < _LEAST_QUERIES:
        return False
    return bool(gains.mean() > gains.std(ddof=1) / math.sqrt(gains.size))
