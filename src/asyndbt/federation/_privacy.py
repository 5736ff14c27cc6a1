"""The guarantee of local differential privacy, and how much noise keeps it.

`asyndbt.federation._private_reports` adds the noise.

The unit is everything that a site holds: whichever of two data sets it has, the probability of
whatever it sends in a run is the same up to (epsilon, delta). Every noisy report of a site costs
the same, and their number is settled before the run, by no data.

The noise is a discrete Gaussian, which satisfies zero-concentrated differential privacy as the
continuous one does (Canonne, Kamath, Steinke, NeurIPS 2020): with a standard deviation of nu
sensitivities ``rho = 1 / (2 nu^2)``, and rho adds up over reports that depend on earlier ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from asyndbt.errors import MissingExtraError


@dataclass(frozen=True, slots=True)
class Privacy:
    """A guarantee for every site, over the whole run.

    Parameters
    ----------
    epsilon, delta : float
    clip : float
        Largest Euclidean norm of the step from z to p that is reported.
    steps : int
        Noisy reports of p that a site sends at most; its vote is one more.
    noise : float
        nu, the standard deviation of a report's noise in sensitivities.
    """

    epsilon: float
    delta: float
    clip: float
    steps: int
    noise: float

    @classmethod
    def calibrated(cls, epsilon: float, delta: float, clip: float, steps: int) -> Self:
        """Return the guarantee with the least noise that keeps it.

        Raises
        ------
        MissingExtraError
            If the accountant is not installed.
        """
        rho = _largest_rho(epsilon, delta) / (steps + 1)
        return cls(epsilon, delta, clip, steps, math.sqrt(1 / (2 * rho)))

    def useful_sites(self, positions: int, words: int) -> int:
        """Return how many sites have to agree before their mean is seen under the noise.

        All take the longest step, in every report, to the same word at each of M positions: an
        entry of ``1 / sqrt(M)`` clips. It is as large as the largest of N entries of noise,
        ``2 nu sqrt(2 ln N / (W K))``, with so many sites W. The clip cancels out.
        """
        return math.ceil(8 * self.noise**2 * positions * math.log(words) / self.steps)


def _largest_rho(epsilon: float, delta: float) -> float:
    """Return the rho of which rho-zCDP implies (epsilon, delta), by the accountant."""
    try:
        from dp_accounting import ZCDpEvent, calibrate_dp_mechanism
        from dp_accounting.rdp import RdpAccountant
    except ImportError:
        raise MissingExtraError("dp-accounting", "privacy") from None
    # rho is some hundredth of epsilon^2, and the search has to end close to it.
    tolerance = 1e-6 * min(1.0, epsilon**2)
    return float(calibrate_dp_mechanism(RdpAccountant, ZCDpEvent, epsilon, delta, tol=tolerance))
