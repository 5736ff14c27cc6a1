"""The policy-gradient estimator of BDPL and of the paper.

Diao et al., "Black-box prompt learning for pre-trained language models", TMLR 2023, arXiv
2201.08531, equation 7; Ma et al., Scientific Reports 16:9381 (2026), the worker's update of
Algorithm 1, whose gradients (equations 20 to 23) are images in the published files.

Departures:

* The plain score ``1{j_s = j} / p_ij``, at drawn words only. The printed score, with ``-1 / p`` at
  every other word, is twice this estimator up to a constant per row, and NaN as soon as a
  projection makes a zero.
* The denominator is at least `probability_floor`.
* The mean is subtracted for each query over its answered draws, so that the others stay comparable
  if a request fails. Without failures this is the printed formula.
"""

from __future__ import annotations

import numpy as np

from asyndbt._section import key
from asyndbt.optim._types import Arrays, Evaluations, FloatArray, Gradient, IntArray, Shape
from asyndbt.optim.estimators._base import Estimator, EstimatorState
from asyndbt.optim.estimators._history import gather


class Reinforce(Estimator):
    """Score-function gradient of the latest evaluations.

    ``g_ij = 1/(I-1) sum_s (L_s - mean L) 1{j_s = j} / max(p_ij, floor)``, unbiased for
    ``E[L | J_i = j]`` up to one constant per row when the draws come from p and q themselves.
    """

    name = "reinforce"
    needs_fresh_draws = True
    always_applies = True  # by BDPL, FedOne and FedAvg-BDPL

    class Options(Estimator.Options):
        """Keys of [method] that this estimator reads."""

        probability_floor: float = key(
            1e-6, "Smallest denominator of reinforce.", example=1e-4, gt=0
        )

    options: Options

    def initial(self, shape: Shape) -> EstimatorState:
        return {
            "words": np.empty((0, shape.positions), dtype=np.int64),
            "demonstrations": np.empty((0, shape.slots), dtype=np.int64),
            "advantages": np.empty(0),
        }

    def update(self, state: Arrays, evaluations: Evaluations) -> EstimatorState:
        """Return a state of `evaluations` alone."""
        return {
            "words": evaluations.words.copy(),
            "demonstrations": evaluations.demonstrations.copy(),
            "advantages": _advantages(evaluations.losses),
        }

    def gradient(self, state: Arrays, p: FloatArray, q: FloatArray) -> Gradient:
        """Return the estimate; the latest evaluations must be drawn from p and q."""
        advantages = np.asarray(state["advantages"], dtype=np.float64)
        words = np.asarray(state["words"], dtype=np.int64)
        demonstrations = np.asarray(state["demonstrations"], dtype=np.int64)
        return Gradient(
            self._scores(words, advantages, p), self._scores(demonstrations, advantages, q)
        )

    def _scores(self, drawn: IntArray, advantages: FloatArray, policy: FloatArray) -> FloatArray:
        floor = self.options.probability_floor
        return gather(drawn, advantages, policy.shape) / np.maximum(policy, floor)


def _advantages(losses: FloatArray) -> FloatArray:
    """Return (I,) weights ``mean_b (L_sb - mean_s L_sb) / (I_b - 1)`` over answered requests.

    A query answered for fewer than two draws is left out.
    """
    answered = np.isfinite(losses)
    comparable = answered.sum(axis=0) >= 2
    if not comparable.any():
        return np.zeros(losses.shape[0])
    answered, losses = answered[:, comparable], losses[:, comparable]
    counts = answered.sum(axis=0)
    known = np.where(answered, losses, 0.0)
    centred = np.where(answered, known - known.sum(axis=0) / counts, 0.0)
    advantages: FloatArray = (centred / (counts - 1)).mean(axis=1)
    return advantages
