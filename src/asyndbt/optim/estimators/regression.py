"""Main effects by ridge regression on every answer so far; ours, no counterpart in the paper.

For independent categorical rows the gradient of the expected loss is a main effect,
``d/dp_ij E[L] = E[L | J_i = j]`` up to a constant per row. All main effects are estimated at once
by a ridge regression of losses on one-hot (position, word) and (slot, candidate) features over all
evaluations so far, older ones discounted. Every answer that was paid for is used again, whereas
`Reinforce` (BDPL, arXiv 2201.08531) forgets it after one step.

There are fewer evaluations than features (M N + U V goes up to 10,000), so it is solved in its
dual form, as a Gaussian process: the loss of a drawn prompt, averaged over its queries, is

    y_s = mean_b o_b + sum_i (e_{i, j_si} + r_{j_si}) + sum_u d_{u, k_su} + noise_s

with independent effects of prior variance 1 for a word at its position (e) and a candidate in its
slot (d), `shared_words` for what a word does at every position (r), a nearly flat prior for the
offset o_b of a query, and noise of variance ``ridge / (answered queries * discount^age)``. The
offsets do what a baseline does for a policy gradient: draws are compared on the same queries.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim.estimators.protocol import EstimatorState
from asyndbt.optim.settings import Settings
from asyndbt.optim.types import Evaluations, FloatArray, Gradient, IntArray, Shape

__all__ = ["Regression"]

# Prior variance of a query's own loss level relative to a word's effect: in effect unpenalised.
_OFFSET_VARIANCE = 1e3
_UNUSED = -1


class Regression:
    """Posterior mean of all main effects given all evaluations in the window.

    Parameters
    ----------
    settings : Settings
        Reads `ridge`, `discount`, `shared_words`, `window`.
    """

    def __init__(self, settings: Settings) -> None:
        self._ridge = settings.ridge
        self._discount = settings.discount
        self._shared = settings.shared_words
        self._window = settings.window

    def initial(self, shape: Shape) -> EstimatorState:
        """Return a state without evaluations."""
        return {
            "shape": np.array([shape.positions, shape.words, shape.slots, shape.candidates]),
            "words": np.empty((0, shape.positions), dtype=np.int32),
            "demonstrations": np.empty((0, shape.slots), dtype=np.int32),
            "queries": np.empty((0, 0), dtype=np.int32),
            "losses": np.empty((0, 0)),
            "born": np.empty(0, dtype=np.int64),
            "updates": np.array(0, dtype=np.int64),
            "weights": np.empty(0),
            "level": np.array(0.0),
        }

    def update(
        self, state: Mapping[str, NDArray[np.generic]], evaluations: Evaluations
    ) -> EstimatorState:
        """Return a state with `evaluations` added, beyond the window forgotten, and fitted anew."""
        seen = np.isfinite(evaluations.losses).any(axis=1)
        queries = np.broadcast_to(evaluations.queries, evaluations.losses.shape)[seen]
        losses = evaluations.losses[seen]
        now = int(state["updates"]) + 1
        new = {
            "shape": state["shape"],
            "words": _append(state["words"], evaluations.words[seen]),
            "demonstrations": _append(state["demonstrations"], evaluations.demonstrations[seen]),
            "queries": _append_padded(state["queries"], queries, _UNUSED),
            "losses": _append_padded(state["losses"], losses, np.nan),
            "born": _append(state["born"], np.full(int(seen.sum()), now)),
            "updates": np.array(now, dtype=np.int64),
        }
        for name in ("words", "demonstrations", "queries", "losses", "born"):
            new[name] = new[name][-self._window :]
        return {**new, **self._fit(new)}

    def gradient(
        self, state: Mapping[str, NDArray[np.generic]], p: FloatArray, q: FloatArray
    ) -> Gradient:
        """Return the posterior mean main effects, every row centred under its policy.

        ``g_ij = e_ij + r_j``, with ``e_ij = sum_s alpha_s 1{j_si = j}`` and
        ``r_j = shared_words * sum_i e_ij``; alpha solves ``(K + R) alpha = y - mean y``.
        """
        weights = np.asarray(state["weights"], dtype=np.float64)
        own = _gather(np.asarray(state["words"]), weights, p.shape)
        effects = own + self._shared * own.sum(axis=0)
        candidates = _gather(np.asarray(state["demonstrations"]), weights, q.shape)
        return Gradient(
            effects - (p * effects).sum(axis=1, keepdims=True),
            candidates - (q * candidates).sum(axis=1, keepdims=True),
        )

    def predict(
        self,
        state: Mapping[str, NDArray[np.generic]],
        words: IntArray,
        demonstrations: IntArray,
    ) -> FloatArray:
        """Return the (C,) posterior mean losses of C given prompts on an average query seen.

        Parameters
        ----------
        state : mapping of arrays
        words, demonstrations : IntArray
            (C, M) and (C, U).
        """
        weights = np.asarray(state["weights"], dtype=np.float64)
        kernel = self._kernel(
            words, demonstrations, state["words"], state["demonstrations"], state["shape"]
        )
        predicted: FloatArray = float(state["level"]) + kernel @ weights
        return predicted

    def uncertainty(self, state: Mapping[str, NDArray[np.generic]]) -> Gradient:
        """Return posterior standard deviations of the main effects, (M, N) and (U, V).

        In nats; the prior variance of an effect is set by the evaluations themselves
        (``y' (K + R)^-1 y / n``). Costs n^2 (M N + U V) operations: for a read-out, not for
        every step.
        """
        positions, words, slots, candidates = (int(size) for size in np.asarray(state["shape"]))
        features = _one_hot(np.asarray(state["words"]), words)
        own = features.reshape(-1, positions, words)
        crossed = own + self._shared * own.sum(axis=1, keepdims=True)
        crossed = crossed.reshape(-1, positions * words)
        demos = _one_hot(np.asarray(state["demonstrations"]), candidates)
        prior_p, prior_q = 1.0 + self._shared, 1.0
        scale = 1.0
        left = np.concatenate([crossed, demos], axis=1)
        explained = np.zeros(left.shape[1])
        if left.shape[0]:
            covariance, targets, _ = self._system(state)
            solved = np.linalg.solve(covariance, np.column_stack([left, targets]))
            explained = (left * solved[:, :-1]).sum(axis=0)
            scale = float(targets @ solved[:, -1]) / left.shape[0]
        split = positions * words
        return Gradient(
            np.sqrt(scale * np.maximum(prior_p - explained[:split], 0.0)).reshape(positions, words),
            np.sqrt(scale * np.maximum(prior_q - explained[split:], 0.0)).reshape(
                slots, candidates
            ),
        )

    def _fit(self, state: Mapping[str, NDArray[np.generic]]) -> EstimatorState:
        """Return dual weights and the loss level of an average query."""
        if state["words"].shape[0] == 0:
            return {"weights": np.empty(0), "level": np.array(0.0)}
        covariance, targets, shares = self._system(state)
        weights = np.linalg.solve(covariance, targets)
        mean = _answered_means(state).mean()
        offsets = _OFFSET_VARIANCE * (shares.T @ weights)
        return {"weights": weights, "level": np.array(mean + offsets.mean())}

    def _system(
        self, state: Mapping[str, NDArray[np.generic]]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return K + R (n, n), y - mean y (n,), and each draw's shares of the queries (n, Q)."""
        shares = _query_shares(np.asarray(state["queries"]), np.asarray(state["losses"]))
        chosen = state["words"], state["demonstrations"]
        covariance = self._kernel(*chosen, *chosen, state["shape"])
        covariance += _OFFSET_VARIANCE * (shares @ shares.T)
        answered = np.isfinite(np.asarray(state["losses"])).sum(axis=1)
        ages = int(state["updates"]) - np.asarray(state["born"], dtype=np.float64)
        noise = self._ridge / (answered * np.maximum(self._discount**ages, 1e-9))
        covariance[np.diag_indices_from(covariance)] += noise
        means = _answered_means(state)
        return covariance, means - means.mean(), shares

    def _kernel(
        self,
        left_words: NDArray[np.generic],
        left_demonstrations: NDArray[np.generic],
        right_words: NDArray[np.generic],
        right_demonstrations: NDArray[np.generic],
        shape: NDArray[np.generic],
    ) -> FloatArray:
        """Return prior covariances of the prompts' summed effects, (left, right)."""
        kernel = _matches(left_words, right_words)
        kernel += _matches(left_demonstrations, right_demonstrations)
        if self._shared and left_words.shape[1]:
            vocabulary = int(shape[1])  # type: ignore[call-overload]
            bags = _bags(left_words, vocabulary) @ _bags(right_words, vocabulary).T
            kernel += self._shared * bags
        return kernel


def _append(old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([old, new.astype(old.dtype)])


def _append_padded(
    old: NDArray[np.generic], new: NDArray[np.generic], filler: float
) -> NDArray[np.generic]:
    """Append rows that may be wider or narrower, filling up with `filler`."""
    width = max(old.shape[1], new.shape[1])
    joined = np.full((old.shape[0] + new.shape[0], width), filler, dtype=old.dtype)
    joined[: old.shape[0], : old.shape[1]] = old
    joined[old.shape[0] :, : new.shape[1]] = new
    return joined


def _answered_means(state: Mapping[str, NDArray[np.generic]]) -> FloatArray:
    means: FloatArray = np.nanmean(np.asarray(state["losses"], dtype=np.float64), axis=1)
    return means


def _query_shares(queries: NDArray[np.generic], losses: NDArray[np.generic]) -> FloatArray:
    """Return (n, Q) the share of every query seen in every draw's mean loss."""
    answered = np.isfinite(losses)
    labels, places = np.unique(queries[answered], return_inverse=True)
    shares = np.zeros((queries.shape[0], labels.size))
    rows = np.nonzero(answered)[0]
    np.add.at(shares, (rows, places), 1.0 / answered.sum(axis=1)[rows])
    return shares


def _matches(left: NDArray[np.generic], right: NDArray[np.generic]) -> FloatArray:
    """Return (left, right) numbers of columns with the same entry."""
    counts = np.zeros((left.shape[0], right.shape[0]), dtype=np.uint16)
    for column in range(left.shape[1]):
        counts += left[:, column, None] == right[None, :, column]
    return counts.astype(np.float64)


def _bags(words: NDArray[np.generic], vocabulary: int) -> NDArray[np.float32]:
    """Return (n, N) how often each word is drawn; small integers, exact in single precision."""
    counts = np.zeros((words.shape[0], vocabulary), dtype=np.float32)
    rows = np.broadcast_to(np.arange(words.shape[0])[:, None], words.shape)
    np.add.at(counts, (rows, words), 1.0)
    return counts


def _gather(drawn: NDArray[np.generic], weights: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return ``sum_s weights_s 1{drawn_si = j}`` as (rows, columns)."""
    gathered = np.zeros(shape)
    rows = np.broadcast_to(np.arange(shape[0]), drawn.shape)
    np.add.at(gathered, (rows, drawn), np.broadcast_to(weights[:, None], drawn.shape))
    return gathered


def _one_hot(drawn: NDArray[np.generic], columns: int) -> FloatArray:
    """Return (n, rows * columns) indicators."""
    hot = drawn[:, :, None] == np.arange(columns)
    return hot.reshape(drawn.shape[0], drawn.shape[1] * columns).astype(np.float64)
