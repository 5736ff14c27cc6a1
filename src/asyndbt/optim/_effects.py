"""Pooling of what several workers' own answers say of every word's effect.

Worker v reports a normal posterior of every word's effect, mean m_v and precision P_v, from a prior
of mean 0 and precision P_0 that all share. Seen one word at a time, its answers are an expert of
precision ``l_v = P_v - P_0`` and weighted mean ``h_v = P_v m_v``, and the product of all experts
with the prior, counted once, has precision ``P_0 + sum_v l_v`` and mean ``sum_v h_v`` over it. A
worker is sent the product without its own expert, so that no answer comes back to where it was
given. No counterpart in the paper; products of normal experts and cavities as in expectation
propagation (Minka, UAI 2001; for sites with data of their own, Vehtari et al., JMLR 2020).

Departures:

* Covariances between words are dropped: N numbers cross the border instead of N^2.
* |m_v| and l_v are clipped, at the lower median over the workers of what each has as its largest,
  over all words: no worker says more of a word than the one in the middle says of that of which it
  is surest, and while fewer than half of them lie, no liar more than an honest one. Clipped word by
  word, what only a few workers have tried would be lost. l_v is clipped with the expert's own mean
  h_v / l_v kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asyndbt.optim._types import Effects, FloatArray


def pooled_effects(reported: Sequence[Effects], receiver: int | None, prior: float) -> Effects:
    """Return the effects (N,) by the prior and all experts but the receiver's.

    Parameters
    ----------
    reported : sequence of Effects
        One or more, by worker.
    receiver : int or None
        Index among them of the worker that the result is for; None if it has not reported.
    prior : float
        P_0, more than 0.
    """
    means = np.stack([effects.mean for effects in reported])
    precisions = np.stack([effects.precision for effects in reported])
    gained = np.maximum(precisions - prior, 0.0)
    kept = np.minimum(gained, _middle_of_largest(gained))
    shares = np.divide(kept, gained, out=np.zeros_like(kept), where=gained > 0)
    largest = _middle_of_largest(np.abs(means))
    weighted = shares * (prior + gained) * np.clip(means, -largest, largest)
    others = np.arange(len(reported)) != (-1 if receiver is None else receiver)
    precision = prior + kept[others].sum(axis=0)
    return Effects(weighted[others].sum(axis=0) / precision, precision)


def _middle_of_largest(values: FloatArray) -> float:
    """Return the lower median of the rows' largest values."""
    return float(np.sort(values.max(axis=1))[(len(values) - 1) // 2])
