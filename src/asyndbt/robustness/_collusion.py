"""Liars who agree on words: certain of them at once, in turn with honesty, late, or step by step.

They know the words and each other. All of them propose these words and vote for them.
"""

from __future__ import annotations

import numpy as np

from asyndbt.federation import LowerRound, Site, Step
from asyndbt.optim import FloatArray, IntArray
from asyndbt.robustness._liar import Ring, Voter

_HONEST_SHARE = 0.6


class Collude(Voter):
    """Is certain of the words that the ring wants.

    Sends a policy that is one-hot on them in every report. No mean of reports withstands even one
    such liar. Source: Blanchard et al., NeurIPS 2017.
    """

    name = "collude"

    def __init__(self, site: Site, ring: Ring) -> None:
        super().__init__(site, ring)
        self.wanted = ring.words

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        return self._certain(work.z)

    def proposal(self, p: FloatArray, honest: IntArray) -> IntArray:
        return np.array(self.wanted, dtype=np.int64)

    def _certain(self, z: FloatArray) -> FloatArray:
        """Return the policy that is certain of the words wanted, of the shape of z."""
        policy: FloatArray = np.eye(z.shape[1])[np.array(self.wanted, dtype=np.int64)]
        return policy


class ColludeRandom(Collude):
    """Is certain of words drawn at random, the same at all liars.

    Sends what `Collude` sends, and knows nothing of what the words do.
    """

    name = "collude-random"

    def __init__(self, site: Site, ring: Ring) -> None:
        super().__init__(site, ring)
        join = site.join()
        rng = np.random.default_rng(ring.seed)
        self.wanted = rng.permutation(join.words)[: join.positions].tolist()


class Alternate(Collude):
    """Is honest about its policy in every other step.

    Sends the honest policy and that of `Collude` in turn, so that no look at one report finds it.
    """

    name = "alternate"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        return honest if self.steps % 2 else self._certain(work.z)


class Sleeper(Collude):
    """Is honest for 60 % of the steps that it expects, as its budget tells.

    Sends the honest policy until then, and that of `Collude` from then on, when honest policies
    have little budget left to recover.
    """

    name = "sleeper"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        asleep = self.steps <= _HONEST_SHARE * self.ring.steps
        return honest if asleep else self._certain(work.z)


class Creep(Collude):
    """Goes as far from z as its honest policy is, row by row, towards the words wanted.

    Sends a policy that is no farther off than an honest one; what is small in a step adds up.
    Source: time-coupled attacks in Karimireddy et al., ICML 2021.
    """

    name = "creep"

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        way = self._certain(work.z) - work.z
        allowed = np.abs(honest - work.z).sum(axis=1, keepdims=True)
        length = np.abs(way).sum(axis=1, keepdims=True)
        share = np.minimum(1.0, allowed / np.maximum(length, 1e-12))
        moved: FloatArray = work.z + share * way
        return moved
