"""Rows of probabilities: projection on the simplex, draws, entropy.

A policy is a matrix whose rows are categorical distributions: (M, N) for a fragment, (U, V) for
demonstrations. All functions accept matrices without rows.

The projection is the sort-based one of Held, Wolfe and Crowder (1974), also Duchi et al. (ICML
2008); it is exact up to rounding. No departures.
"""

from __future__ import annotations

import numpy as np

from asyndbt.optim._types import FloatArray, IntArray


def project_rows(x: FloatArray) -> FloatArray:
    """Return the Euclidean projection of each row of a finite (R, N) matrix on the simplex.

    ``P(x) = argmin { ||y - x||_2 : y >= 0, sum(y) = 1 } = max(x - tau, 0)`` with the tau that
    makes the sum 1.

    Examples
    --------
    >>> project_rows(np.array([[2.0, 1.5, 0.0]]))
    array([[0.75, 0.25, 0.  ]])
    """
    if x.size == 0:
        return x.astype(np.float64)
    # Without the row maxima, huge entries lose no digits in the running sums.
    shifted = x - x.max(axis=1, keepdims=True)
    falling = -np.sort(-shifted, axis=1)
    excess = np.cumsum(falling, axis=1) - 1.0
    ranks = np.arange(1, x.shape[1] + 1)
    support = np.count_nonzero(falling * ranks > excess, axis=1)
    tau = excess[np.arange(x.shape[0]), support - 1] / support
    projected: FloatArray = np.maximum(shifted - tau[:, None], 0.0)
    return projected


def sample_rows(p: FloatArray, count: int, rng: np.random.Generator) -> IntArray:
    """Return (count, R) columns drawn independently for each row: ``J_ri ~ Cat(p_i)``.

    By the inverse distribution function. A column of probability zero is never drawn, and rows
    whose sum is off by rounding are drawn in proportion to their entries.
    """
    rows = p.shape[0]
    uniforms = rng.random((count, rows))
    drawn = np.empty((count, rows), dtype=np.int64)
    for row in range(rows):
        cumulated = np.cumsum(p[row])
        last = int(np.flatnonzero(p[row] > 0.0)[-1])
        places = np.searchsorted(cumulated, uniforms[:, row] * cumulated[-1], side="right")
        drawn[:, row] = np.minimum(places, last)
    return drawn


def uniform_rows(rows: int, columns: int) -> FloatArray:
    """Return a (rows, columns) policy whose every entry is ``1 / columns``."""
    return np.full((rows, columns), 1.0 / max(columns, 1))


def row_entropies(p: FloatArray) -> FloatArray:
    """Return the (R,) entropies ``-sum_j p_ij log p_ij`` in nats, with ``0 log 0 = 0``."""
    logarithms = np.log(np.where(p > 0.0, p, 1.0))
    entropies: FloatArray = -(p * logarithms).sum(axis=1) + 0.0
    return entropies


def on_simplex(p: FloatArray, tolerance: float = 1e-6) -> bool:
    """Return whether all rows are finite, not negative, and sum to one, up to `tolerance`."""
    if p.shape[0] == 0:
        return True
    if not np.isfinite(p).all() or p.min(initial=0.0) < -tolerance:
        return False
    return bool(np.abs(p.sum(axis=-1) - 1.0).max() <= tolerance)
