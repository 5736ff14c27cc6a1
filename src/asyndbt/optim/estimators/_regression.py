"""Main effects by ridge regression on all answers so far; no counterpart in the paper.

The gradient, main effects ``d/dp_ij E[L] = E[L | J_i = j]`` up to a constant per row, is estimated
by a ridge regression of losses on one-hot (position, word) and (slot, candidate) features over all
evaluations in a window of the latest draws. Every answer is used again and again, whereas
`Reinforce` (BDPL, arXiv 2201.08531) forgets it after one step. An answer that is known already, to
the same prompt on the same query, adds nothing: certainty does not grow by reading a cache.

There are fewer evaluations than features (M N + U V, up to 10,000), so the regression is solved in
its dual form, as a Gaussian process: the loss of a drawn prompt, averaged over its queries, is

    y_s = mean_b o_b + sum_i e_{i, j_si} + sum_{j in prompt s} r_j + sum_u d_{u, k_su} + noise_s

with independent effects of prior variance 1 for a candidate in its slot (d), `positional_words` for
a word at its position (e), `shared_words` for a word anywhere in the prompt, counted once (r), a
nearly flat prior for the offset o_b of a query, and noise of variance
``ridge / (answered queries * discount^age)``. The offsets act like a baseline of a policy gradient:
draws are compared on the same queries. Since a word counts once, its main effect at one position
vanishes as another position settles on it, so the positions choose different words.

With `pairs` rho > 0 a word may do more or less beside a demonstration: effects with the prior
covariance ``rho * (equal candidates of two prompts) * (covariance of their words' effects)`` are
added, so that the right words depend on the demonstrations held, as the paper's phi(K) does, and
the right demonstrations on the words.

With ``discount`` 1 the covariance of the draws seen never changes: its factor grows by the rows of
the new draws, O(n^2) each. Once there are more than `window` draws, the oldest quarter is forgotten
and the rest is fitted anew, as it is at every update with a smaller discount, in O(n^3).

Demonstrations are drawn by Thompson's rule (Biometrika 1933; for linear models Agrawal and Goyal,
ICML 2013): every draw takes the candidates that are best under effects drawn from their posterior,
so that a candidate is tried until it is surely worse. Words are drawn from p.
"""

from __future__ import annotations

import numpy as np

from asyndbt._section import key
from asyndbt.optim._simplex import sample_rows
from asyndbt.optim._types import Arrays, Effects, Evaluations, FloatArray, Gradient, IntArray, Shape
from asyndbt.optim.estimators._base import Estimator, EstimatorState
from asyndbt.optim.estimators._history import (
    History,
    gather,
    matches,
    one_hot,
    words_present,
)
from asyndbt.optim.estimators._inverse_factor import InverseFactor

# Prior variance of a query's loss level: practically unpenalised.
_OFFSET_VARIANCE = 1e3
_OLDEST_WEIGHT = 1e-9
# Least variance of the noise: with less, rounding would leave the covariance without a factor.
_LEAST_NOISE = 1e-6
# Least posterior variance of a word's effect: rounding may leave less than there is.
_LEAST_VARIANCE = 1e-9
# In an `informed` state: c (N,), what others' beliefs add to the effects of words.
_ELSEWHERE = "elsewhere"


class Regression(Estimator):
    """Posterior mean of all main effects given all evaluations in the window.

    Its state consists of the draws (`History`), the shape, the number of updates, and the fit: dual
    `weights` (n,), the loss `level` of an average query, and the packed inverse `factor` of the
    draws' covariance.
    """

    name = "regression"

    class Options(Estimator.Options):
        """Keys of [method] that this estimator reads."""

        ridge: float = key(20.0, "Ridge penalty of regression.", example=4.0, gt=0)
        discount: float = key(
            1.0,
            "Weight of an evaluation one step older, of regression (less than 1: slower steps).",
            example=0.99,
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
        pairs: float = key(
            0.0,
            "rho, prior variance of what a word does beside one demonstration, relative to that of "
            "what it does beside all (regression).",
            example=0.3,
            ge=0,
        )
        window: int = key(
            1_000,
            "Most draws that regression remembers; beyond them it forgets the oldest quarter.",
            example=1_500,
            ge=1,
        )

    options: Options

    def initial(self, shape: Shape) -> EstimatorState:
        return {
            "shape": np.array([shape.positions, shape.words, shape.slots, shape.candidates]),
            "updates": np.array(0, dtype=np.int64),
            "weights": np.empty(0),
            "level": np.array(0.0),
            "factor": InverseFactor.empty().packed(),
            **History.empty(shape).arrays(),
        }

    def update(self, state: Arrays, evaluations: Evaluations) -> EstimatorState:
        """Return a fitted state with `evaluations`, and without draws beyond the window."""
        updates = _updates(state) + 1
        history = History.from_arrays(state).extended(evaluations, updates, self.options.window)
        factor = self._factor(_factor(state), history, updates, _shape(state))
        weights: FloatArray = np.empty(0)
        level = 0.0
        if len(history):
            losses = history.mean_losses()
            weights = factor.solution(losses - losses.mean())
            offsets = _OFFSET_VARIANCE * weights.sum() / history.distinct_queries()
            level = float(losses.mean() + offsets)
        return {
            "shape": state["shape"],
            "updates": np.array(updates, dtype=np.int64),
            "weights": weights,
            "level": np.array(level),
            "factor": factor.packed(),
            **history.arrays(),
        }

    def draw(
        self, state: Arrays, p: FloatArray, q: FloatArray, count: int, rng: np.random.Generator
    ) -> tuple[IntArray, IntArray]:
        """Return words drawn from p, and the candidates that are best under sampled effects.

        The effects of all candidates, words drawn from p, are jointly normal under the posterior:
        with features G (n, U V) of the draws seen, ``N(G' alpha, s^2 (C - G' (K + R)^-1 G))``, C
        the prior covariance and ``s^2 = y' alpha / n`` the estimated square of the effects' unit.
        """
        words, history = sample_rows(p, count, rng), History.from_arrays(state)
        if not (len(history) and q.size):
            return words, sample_rows(q, count, rng)
        weights = np.asarray(state["weights"], dtype=np.float64)
        beside = 1.0 + self.options.pairs * self._expected_word_kernel(p, history)
        features = one_hot(history.demonstrations, q.shape) * beside[:, None]
        whitened = _factor(state).whitened(features)
        prior = 1.0 + self.options.pairs * self._expected_word_variance(p)
        variances, axes = np.linalg.eigh(prior * np.eye(q.size) - whitened.T @ whitened)
        losses = history.mean_losses()
        unit = np.sqrt(max(float((losses - losses.mean()) @ weights) / len(history), 0.0))
        normal = rng.standard_normal((count, q.size)) * np.sqrt(np.maximum(variances, 0.0))
        effects = features.T @ weights + unit * normal @ axes.T
        return words, effects.reshape(count, *q.shape).argmin(axis=2)

    def gradient(self, state: Arrays, p: FloatArray, q: FloatArray) -> Gradient:
        """Return the posterior mean main effects, every row centred under its policy.

        ``g_ij = e_ij + r_j prod_{k != i} (1 - p_kj)``, with
        ``e_ij = positional_words * sum_s a_s 1{j_si = j}`` and
        ``r_j = shared_words * sum_s a_s 1{j in prompt s}``, where
        ``a_s = alpha_s (1 + rho sum_u q_{u, k_su})`` and ``(K + R) alpha = y - mean y``.
        In an `informed` state r_j has ``shared_words * c_j`` more.
        A candidate's effect is the sum of ``alpha_s (1 + rho E_p k_w(J, J_s))`` over the draws that
        show it, k_w the prior covariance of two prompts' words.
        """
        history = History.from_arrays(state)
        weights = np.asarray(state["weights"], dtype=np.float64)
        rho = self.options.pairs
        shown, beside = weights, weights
        if rho and len(history):
            chances = q[np.arange(q.shape[0]), history.demonstrations].sum(axis=1)
            shown = weights * (1.0 + rho * chances)
            beside = weights * (1.0 + rho * self._expected_word_kernel(p, history))
        own = self.options.positional_words * gather(history.words, shown, p.shape)
        present = shown @ words_present(history.words, p.shape[1])
        if _ELSEWHERE in state:
            present = present + np.asarray(state[_ELSEWHERE], dtype=np.float64)
        effects = own + self.options.shared_words * present * _absent_elsewhere(p)
        candidates = gather(history.demonstrations, beside, q.shape)
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

    @property
    def word_prior(self) -> float:
        shared = self.options.shared_words
        return 1.0 / shared if shared else 0.0

    def word_effects(self, state: Arrays) -> Effects:
        """Return mean and precision of the marginal posteriors of r.

        With the covariances ``k = shared_words * (word in prompt)`` (n, N) of r with the draws,
        they are ``k' alpha`` and ``1 / (shared_words - diag(k' (K + R)^-1 k))``.
        """
        mean, covariance = self._of_words(state)
        return Effects(mean, 1.0 / np.clip(np.diag(covariance), _LEAST_VARIANCE, None))

    def informed(self, state: Arrays, others: Effects) -> EstimatorState:
        """Return the state whose prior of r is `others` instead of ``N(0, shared_words)``.

        With the posterior ``N(m, S)`` of r by the own draws, ``l = precision - 1 / shared_words``
        and ``h = precision * mean``, r has the mean ``m + S c`` with
        ``c = l^(1/2) (I + l^(1/2) S l^(1/2))^-1 l^(-1/2) (h - l m)``, and all other effects have
        theirs with ``alpha - (K + R)^-1 k c`` in place of alpha: what one more observation of every
        r, with mean h / l and variance 1 / l, makes of them.
        """
        mean, covariance = self._of_words(state)
        root = np.sqrt(np.maximum(others.precision - self.word_prior, 0.0))
        news = others.precision * others.mean - root**2 * mean
        news = np.divide(news, root, out=np.zeros_like(root), where=root > 0)
        system = np.eye(root.size) + root[:, None] * covariance * root
        elsewhere = root * np.linalg.solve(system, news)
        learnt = _factor(state).solution(self._crossed(state) @ elsewhere)
        weights = np.asarray(state["weights"], dtype=np.float64) - learnt
        return {**state, "weights": weights, _ELSEWHERE: elsewhere}

    def _of_words(self, state: Arrays) -> tuple[FloatArray, FloatArray]:
        """Return mean (N,) and covariance (N, N) of r by the own draws."""
        crossed = self._crossed(state)
        whitened = _factor(state).whitened(crossed)
        mean: FloatArray = np.asarray(state["weights"], dtype=np.float64) @ crossed
        own = self.options.shared_words * np.eye(crossed.shape[1])
        return mean, own - whitened.T @ whitened

    def _crossed(self, state: Arrays) -> FloatArray:
        """Return the prior covariances (n, N) of the draws with r."""
        present = words_present(History.from_arrays(state).words, _shape(state).words)
        return np.multiply(self.options.shared_words, present, dtype=np.float64)

    def _factor(
        self, known: InverseFactor, history: History, updates: int, shape: Shape
    ) -> InverseFactor:
        """Return the factor of all draws: `known` with more rows where its rows are still valid."""
        old = len(history) - np.count_nonzero(history.born == updates)
        if self.options.discount < 1 or old != len(known):
            known = InverseFactor.empty()
        start = len(known)
        rows = self._covariance(history, start, updates, shape)
        return known.extended(rows[:, :start], rows[:, start:])

    def _covariance(self, history: History, start: int, updates: int, shape: Shape) -> FloatArray:
        """Return the rows of ``K + R`` of the draws from `start` on, (n - start, n)."""
        words, demonstrations = history.words[start:], history.demonstrations[start:]
        covariance = self._kernel(words, demonstrations, history, shape)
        shares = history.query_shares(start)
        covariance += _OFFSET_VARIANCE * (shares[start:] @ shares.T)
        ages = updates - history.born[start:]
        weight = np.maximum(self.options.discount**ages, _OLDEST_WEIGHT)
        noise = self.options.ridge / (history.answered()[start:] * weight)
        own = covariance[:, start:]
        own[np.diag_indices_from(own)] += np.maximum(noise, _LEAST_NOISE)
        return covariance

    def _kernel(
        self, words: IntArray, demonstrations: IntArray, history: History, shape: Shape
    ) -> FloatArray:
        """Return (C, n) prior covariances of the prompts' summed effects with the draws'."""
        equal = matches(demonstrations, history.demonstrations)
        of_words = np.zeros(equal.shape)
        if self.options.positional_words:
            of_words += self.options.positional_words * matches(words, history.words)
        if self.options.shared_words and shape.positions:
            mine = words_present(words, shape.words)
            theirs = words_present(history.words, shape.words)
            of_words += self.options.shared_words * (mine @ theirs.T)
        return equal + of_words + self.options.pairs * equal * of_words

    def _expected_word_kernel(self, p: FloatArray, history: History) -> FloatArray:
        """Return (n,) prior covariances of the effects of words drawn from p with the draws'."""
        padded = np.hstack([p, np.zeros((p.shape[0], 1))])
        at_position = padded[np.arange(p.shape[0]), history.words].sum(axis=1)
        anywhere = words_present(history.words, p.shape[1]) @ _presence(p)
        options = self.options
        kernel: FloatArray = options.positional_words * at_position
        return kernel + options.shared_words * anywhere

    def _expected_word_variance(self, p: FloatArray) -> float:
        """Return the prior variance of the mean effect of words drawn from p."""
        at_position, anywhere = (p**2).sum(), (_presence(p) ** 2).sum()
        options = self.options
        return float(options.positional_words * at_position + options.shared_words * anywhere)


def _absent_elsewhere(p: FloatArray) -> FloatArray:
    """Return (M, N) the probability that no other position draws the word."""
    edge = np.ones((1, p.shape[1]))
    before: FloatArray = np.cumprod(np.concatenate([edge, 1.0 - p[:-1]]), axis=0)
    after: FloatArray = np.cumprod(np.concatenate([edge, 1.0 - p[:0:-1]]), axis=0)[::-1]
    return before * after


def _presence(p: FloatArray) -> FloatArray:
    """Return (N,) the probability that a word is drawn at any position."""
    presence: FloatArray = 1.0 - np.prod(1.0 - p, axis=0)
    return presence


def _updates(state: Arrays) -> int:
    return int(np.asarray(state["updates"], dtype=np.int64))


def _factor(state: Arrays) -> InverseFactor:
    return InverseFactor.from_packed(np.asarray(state["factor"], dtype=np.float64))


def _shape(state: Arrays) -> Shape:
    return Shape(*(int(size) for size in np.asarray(state["shape"], dtype=np.int64)))
