"""How a site shares out the draws of a step: p, its own policy, and prompts without a fragment.

All kinds of draw are asked on the same queries, so their mean losses are compared step by step.
Each gets draws in proportion to the probability that it is the better one. So where the consensus
is worth nothing, because sites differ or lie, a site learns from its own draws instead; and where
words do nothing but harm, more draws go without.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from asyndbt.optim import FloatArray

_MEMORY: Final = 0.97
"""Weight of a step one step older: what was true at the start need not be."""
_PRIOR_STEPS: Final = 3.0
"""Steps that found no difference, with which a run begins."""
_PRIOR_DEVIATION: Final = 0.5
"""Their standard deviation of a draw's mean loss, nats."""


_LARGEST_EMPTY: Final = 0.5
"""Share of the draws without a fragment where that is surely better: words are still learned."""


class DrawShares:
    """Evidence on which draws cost less: those of the own policy, and those without a fragment.

    The difference d of the mean losses of k draws of a kind and of I - k others has the variance
    ``s^2 / w``, ``w = k (I - k) / I``, where s^2 is that of one draw. With sums over steps,
    weighted by age, and n_0 steps that found none, the kind is better with probability

        Phi( - sum w d / sqrt(s^2 (sum w + n_0 w_0)) ),   s^2 = (sum w d^2 + n_0 s_0^2) / (n + n_0)

    w_0 the weight of a step that is shared out evenly.

    Parameters
    ----------
    draws : int
        I, draws of a step.
    least : int
        Draws that either policy gets in any case, as far as there are enough.

    Attributes
    ----------
    sums : FloatArray
        (2, 4) evidence on the own policy, and on prompts without a fragment.
    """

    def __init__(self, draws: int, least: int) -> None:
        self._draws, self._least = draws, least
        self.sums: FloatArray = np.zeros((2, 4))

    @property
    def empty(self) -> int:
        """Draws of the next step that have no fragment."""
        return round(_LARGEST_EMPTY * self._draws * self._is_better(1))

    def own(self, draws: int) -> int:
        """Return how many of so many draws of the next step are from the site's own policy."""
        least = min(self._least, draws // 2)
        return least + round((draws - 2 * least) * self._is_better(0))

    def note(self, losses: FloatArray, own: int, empty: int) -> None:
        """Record the losses (I, B) of a step.

        The first rows are those of p, the next `own` those of the own policy, and the last `empty`
        those without a fragment.
        """
        drawn = losses[: len(losses) - empty]
        compared = ((drawn, own), (losses, empty))
        new = np.array([_evidence(rows, last) for rows, last in compared])
        self.sums = _MEMORY * self.sums + new

    def _is_better(self, kind: int) -> float:
        steps, weights, differences, squares = self.sums[kind].tolist()
        seen = squares + _PRIOR_STEPS * _PRIOR_DEVIATION**2
        variance = seen / (steps + _PRIOR_STEPS)
        known = weights + _PRIOR_STEPS * self._draws / 4
        return 0.5 * (1.0 + math.erf(-differences / math.sqrt(2.0 * variance * known)))


def _evidence(losses: FloatArray, last: int) -> tuple[float, float, float, float]:
    """Return what a step says of its last draws: 1, w, w d and w d^2; zeros if nothing."""
    others = len(losses) - last
    difference = _mean(losses[others:]) - _mean(losses[:others])
    if not math.isfinite(difference):
        return 0.0, 0.0, 0.0, 0.0
    weight = last * others / len(losses)
    return 1.0, weight, weight * difference, weight * difference**2


def _mean(losses: FloatArray) -> float:
    """Return the mean of the losses that are known, NaN if none is."""
    known = losses[np.isfinite(losses)]
    return float(known.mean()) if known.size else math.nan
