"""How a site shares out the draws of a step between p, which follows the consensus, and its own.

Both kinds of draw are asked on the same queries, so their mean losses are compared step by step.
Each policy gets draws in proportion to the probability that it is the better one, so where the
consensus is worth nothing, because sites differ or lie, a site learns from its own draws instead.
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


class DrawShares:
    """Evidence on which policy's draws cost less.

    The difference d of the mean losses of k own draws and of I - k others has the variance
    ``s^2 / w``, ``w = k (I - k) / I``, where s^2 is that of one draw. With sums over steps,
    weighted by age, and n_0 steps that found none, the own policy is better with probability

        Phi( - sum w d / sqrt(s^2 (sum w + n_0 w_0)) ),   s^2 = (sum w d^2 + n_0 s_0^2) / (n + n_0)

    w_0 the weight of a step that is shared out evenly.

    Parameters
    ----------
    draws : int
        I, draws of a step.
    least : int
        Draws that either policy gets in any case.
    """

    def __init__(self, draws: int, least: int) -> None:
        self._draws, self._least = draws, min(least, draws // 2)
        self.sums: FloatArray = np.zeros(4)

    @property
    def own(self) -> int:
        """Draws of the next step that are from the site's own policy."""
        free = self._draws - 2 * self._least
        return self._least + round(free * self._own_is_better())

    def note(self, losses: FloatArray, own: int) -> None:
        """Record the losses (I, B) of a step, the last `own` rows those of the own policy."""
        others = len(losses) - own
        difference = _mean(losses[others:]) - _mean(losses[:others])
        if math.isfinite(difference):
            weight = own * others / len(losses)
            new = (1.0, weight, weight * difference, weight * difference**2)
            self.sums = _MEMORY * self.sums + np.array(new)

    def _own_is_better(self) -> float:
        steps, weights, differences, squares = self.sums.tolist()
        seen = squares + _PRIOR_STEPS * _PRIOR_DEVIATION**2
        variance = seen / (steps + _PRIOR_STEPS)
        known = weights + _PRIOR_STEPS * self._draws / 4
        return 0.5 * (1.0 + math.erf(-differences / math.sqrt(2.0 * variance * known)))


def _mean(losses: FloatArray) -> float:
    """Return the mean of the losses that are known, NaN if none is."""
    known = losses[np.isfinite(losses)]
    return float(known.mean()) if known.size else math.nan
