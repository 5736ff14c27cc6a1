"""Main effects by ridge regression on all answers so far; no counterpart in the paper.

The gradient, main effects ``d/dp_ij E[L] = E[L | J_i = j]`` up to a constant per row, is estimated
by a ridge regression of losses on one-hot (position, word) and (slot, candidate) features over all
evaluations so far, older ones discounted. Every answer is used again and again, whereas `Reinforce`
(BDPL, arXiv 2201.08531) forgets it after one step.

There are fewer evaluations than features (M N + U V, up to 10,000), so the regression is solved in
its dual form, as a Gaussian process: the loss of a drawn prompt, averaged over its queries, is

    y_s = mean_b o_b + sum_i e_{i, j_si} + sum_{j in prompt s} r_j + sum_u d_{u, k_su} + noise_s

with independent effects of prior variance 1 for a candidate in its slot (d), `positional_words` for
a word at its position (e), `shared_words` for a word anywhere in the prompt, counted once (r), a
nearly flat prior for the offset o_b of a query, and noise of variance
``ridge / (answered queries * discount^age)``. The offsets act like a baseline of a policy gradient:
draws are compared on the same queries. Since a word counts once, its main effect at one position
vanishes as another position settles on it, so the positions choose different words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asyndbt._section import key
from asyndbt.optim._types import Arrays, Evaluations, FloatArray, Gradient, IntArray, Shape
from asyndbt.optim.estimators._base import Estimator, EstimatorState
from asyndbt.optim.estimators._history import History, gather, matches, words_present

# Prior variance of a query's loss level: practically unpenalised.
_OFFSET_VARIANCE = 1e3
_OLDEST_WEIGHT = 1e-9


class Regression(Estimator):
    """Posterior mean of all main effects given all evaluations in the window.

    Its state consists of the draws (`History`), the shape, the number of updates, and the fit: dual
    `weights` (n,) and the loss `level` of an average query.
    """

    name = "regression"

    class Options(Estimator.Options):
        """Keys of [method] that this estimator reads."""

        ridge: float = key(20.0, "Ridge penalty of regression.", example=4.0, gt=0)
        discount: float = key(
            0.99,
            "Weight of an evaluation one step older, of regression.",
            example=1.0,
            gt=0,
            le=1,
        )
        shared_words: float = key(
            0.1,
            "Prior variance of a word's effect wherever it stands, relative to that of a "
            "demonstration's effect (regression).",
            example=1.0,
            ge=0,
        )
        positional_words: float = key(
            0.01,
            "Prior variance of what a word does beyond that at one position, relative to that of "
            "a demonstration's effect (regression).",
            example=1.0,
            ge=0,
        )
        window: int = key(1_000, "Latest draws that regression remembers.", example=1_500, ge=1)

    options: Options

    def initial(self, shape: Shape) -> EstimatorState:
        return {
            "shape": np.array([shape.positions, shape.words, shape.slots, shape.candidates]),
            "updates": np.array(0, dtype=np.int64),
            "weights": np.empty(0),
            "level": np.array(0.0),
            **History.empty(shape).arrays(),
        }

    def update(self, state: Arrays, evaluations: Evaluations) -> EstimatorState:
        """Return a fitted state with `evaluations`, and without draws beyond the window."""
        updates = int(np.asarray(state["updates"], dtype=np.int64)) + 1
        history = History.from_arrays(state).extended(evaluations, updates, self.options.window)
        weights: FloatArray = np.empty(0)
        level = 0.0
        if len(history):
            system = self._system(history, updates, _shape(state))
            solved = np.linalg.solve(system.covariance, system.targets)
            weights = solved.astype(np.float64, copy=False)
            offsets = _OFFSET_VARIANCE * (system.shares.T @ weights)
            level = system.mean + float(offsets.mean())
        return {
            "shape": state["shape"],
            "updates": np.array(updates, dtype=np.int64),
            "weights": weights,
            "level": np.array(level),
            **history.arrays(),
        }

    def gradient(self, state: Arrays, p: FloatArray, q: FloatArray) -> Gradient:
        """Return the posterior mean main effects, every row centred under its policy.

        ``g_ij = e_ij + r_j prod_{k != i} (1 - p_kj)``, with
        ``e_ij = positional_words * sum_s alpha_s 1{j_si = j}`` and
        ``r_j = shared_words * sum_s alpha_s 1{j in prompt s}``; alpha solves
        ``(K + R) alpha = y - mean y``.
        """
        history = History.from_arrays(state)
        weights = np.asarray(state["weights"], dtype=np.float64)
        own = self.options.positional_words * gather(history.words, weights, p.shape)
        present = weights @ words_present(history.words, p.shape[1])
        effects = own + self.options.shared_words * present * _absent_elsewhere(p)
        candidates = gather(history.demonstrations, weights, q.shape)
        return Gradient(
            effects - (p * effects).sum(axis=1, keepdims=True),
            candidates - (q * candidates).sum(axis=1, keepdims=True),
        )

    def predict(self, state: Arrays, words: IntArray, demonstrations: IntArray) -> FloatArray:
        """Return the (C,) posterior mean losses of C prompts on an average query seen so far.

        The prompts are given by their words (C, M) and demonstrations (C, U).
        """
        history = History.from_arrays(state)
        kernel = self._kernel(words, demonstrations, history, _shape(state))
        weights = np.asarray(state["weights"], dtype=np.float64)
        return float(np.asarray(state["level"], dtype=np.float64)) + kernel @ weights

    def _system(self, history: History, updates: int, shape: Shape) -> _System:
        shares = history.query_shares()
        covariance = self._kernel(history.words, history.demonstrations, history, shape)
        covariance += _OFFSET_VARIANCE * (shares @ shares.T)
        ages = updates - history.born
        trust = history.answered() * np.maximum(self.options.discount**ages, _OLDEST_WEIGHT)
        covariance[np.diag_indices_from(covariance)] += self.options.ridge / trust
        losses = history.mean_losses()
        mean = float(losses.mean())
        return _System(covariance, losses - mean, mean, shares)

    def _kernel(
        self, words: IntArray, demonstrations: IntArray, history: History, shape: Shape
    ) -> FloatArray:
        """Return (C, n) prior covariances of the prompts' summed effects with the draws'."""
        kernel = matches(demonstrations, history.demonstrations)
        if self.options.positional_words:
            kernel += self.options.positional_words * matches(words, history.words)
        if self.options.shared_words and shape.positions:
            mine = words_present(words, shape.words)
            theirs = words_present(history.words, shape.words)
            kernel += self.options.shared_words * (mine @ theirs.T)
        return kernel


@dataclass(frozen=True, slots=True)
class _System:
    """``(K + R) alpha = targets``: (n, n), (n,), the subtracted mean, query shares (n, Q)."""

    covariance: FloatArray
    targets: FloatArray
    mean: float
    shares: FloatArray


def _absent_elsewhere(p: FloatArray) -> FloatArray:
    """Return (M, N) the probability that no other position draws the word."""
    edge = np.ones((1, p.shape[1]))
    before: FloatArray = np.cumprod(np.concatenate([edge, 1.0 - p[:-1]]), axis=0)
    after: FloatArray = np.cumprod(np.concatenate([edge, 1.0 - p[:0:-1]]), axis=0)[::-1]
    return before * after


def _shape(state: Arrays) -> Shape:
    return Shape(*(int(size) for size in np.asarray(state["shape"], dtype=np.int64)))
