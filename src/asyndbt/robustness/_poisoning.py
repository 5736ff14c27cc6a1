"""Liars without words of their own: their policy is noise, opposes the honest one, or is no work.

Where an attack needs what all sites report, the liars' own honest policies and the consensus stand
in for it.
"""

from __future__ import annotations

import zlib

import numpy as np

from asyndbt.federation import LowerRound, Site, Step
from asyndbt.optim import FloatArray, IntArray, project_rows
from asyndbt.robustness._liar import Liar, Ring, Voter

_SPREADS = 1.5
_REVERSAL = 10.0
_LEAST = 1e-12


class Poisoner(Voter):
    """Has a false policy, proposes its read-out, and votes for what its own rows find worst."""

    def proposal(self, p: FloatArray, honest: IntArray) -> IntArray:
        return self.ring.read_out(p)

    def _stand_ins(self, z: FloatArray) -> FloatArray:
        """Return z and the liars' honest policies (1 + liars, M, N)."""
        return np.stack([z, *self.ring.policies.values()])


class Gauss(Poisoner):
    """Adds noise N(0, 1) to z, projected on the simplex.

    Knows z. Source: the Gaussian attack of Blanchard et al., NeurIPS 2017.
    """

    name = "gauss"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        rng = np.random.default_rng([self.ring.seed, zlib.crc32(work.site.encode()), work.id])
        return project_rows(work.z + rng.normal(size=work.z.shape))


class Alie(Poisoner):
    """A little is enough: the mean minus 1.5 standard deviations, which honest spread hides.

    Knows z and the liars' honest policies, of which it takes mean and deviation.
    Source: Baruch et al., NeurIPS 2019.
    """

    name = "alie"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        policies = self._stand_ins(work.z)
        return project_rows(policies.mean(axis=0) - _SPREADS * policies.std(axis=0))


class Ipm(Poisoner):
    """Inner-product manipulation: ten times the mean step, backwards.

    Knows z and the liars' honest policies, whose mean step from z it takes.
    Source: Xie et al., UAI 2019.
    """

    name = "ipm"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        step = np.stack(list(self.ring.policies.values())).mean(axis=0) - work.z
        return project_rows(work.z - _REVERSAL * step)


class SignFlip(Poisoner):
    """Takes the honest step backwards: z^2 / p, normalised.

    Knows z and its own honest policy. Source: sign-flipping in Li et al., AAAI 2019.
    """

    name = "sign-flip"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        logs = 2 * np.log(np.maximum(work.z, _LEAST)) - np.log(np.maximum(honest, _LEAST))
        weights = np.exp(logs - logs.max(axis=1, initial=-np.inf, keepdims=True))
        flipped: FloatArray = weights / weights.sum(axis=1, keepdims=True)
        return flipped


class Stale(Liar):
    """Sends its first policy and its first proposal again and again; votes honestly.

    Knows its own reports. Replay, which needs neither work nor a plan.
    """

    name = "stale"

    def __init__(self, site: Site, ring: Ring) -> None:
        super().__init__(site, ring)
        self._policies: list[FloatArray] = []
        self._proposals: list[IntArray] = []

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        self._policies = self._policies or [honest]
        return self._policies[0]

    def proposal(self, p: FloatArray, honest: IntArray) -> IntArray:
        self._proposals = self._proposals or [honest]
        return self._proposals[0]


class FreeRider(Liar):
    """Sends z back, and proposes its read-out; votes honestly.

    Knows z. Source: Fraboni et al., AISTATS 2021.
    """

    name = "free-rider"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        return work.z

    def proposal(self, p: FloatArray, honest: IntArray) -> IntArray:
        return self.ring.read_out(p)
