"""How far an iterate is from a stationary point of the single-level problem.

ADBO (Jiao et al., ICLR 2023, arXiv 2212.10048), definition 3: the squared norm of the projected
gradients of the Lagrangian in all variables; Theorem 2 of Ma et al. (Scientific Reports 16:9381,
2026) bounds the iterations until it falls below e by O(1 / e^2), that is, gap(T) = O(T^(-1/2)).

Departures:

* The robust term psi ||p - z||_1, which is not differentiable where it matters, enters through
  ``sign(p - z)``, so with psi > 0 the gap says little at p = z; the claim is checked with psi = 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asyndbt.optim._planes import plane_values, pull_on_consensus, pull_on_workers
from asyndbt.optim._server_step import ServerState
from asyndbt.optim._settings import Settings
from asyndbt.optim._simplex import project_rows
from asyndbt.optim._types import FloatArray, Gradient


def stationarity_gap(
    state: ServerState,
    q_all: Sequence[FloatArray],
    gradients: Sequence[Gradient],
    settings: Settings,
    c1: float = 0.0,
    c2: float = 0.0,
) -> float:
    """Return the squared norm of the stationarity gap at (p, q, z, lambda, theta).

    ``sum_x ||(x - P(x - eta_x d_x L)) / eta_x||^2`` over p^(v), q^(v) and z on their simplexes,
    with the ascent in lambda on ``lambda >= 0`` and in theta on ``|theta| <= clip``.

    Parameters
    ----------
    state : ServerState
        Its `p_all` are the workers' policies.
    q_all : sequence of FloatArray
        W demonstration policies (U, V).
    gradients : sequence of Gradient
        W exact gradients of ``f_v`` at (p^(v), q^(v)).
    c1, c2 : float
        Regularisation; zero for the problem itself, c1_t and c2_t for the regularised one.
    """
    workers = np.arange(state.p_all.shape[0])
    slopes_p = (
        np.array([gradient.p for gradient in gradients]).reshape(state.p_all.shape)
        + pull_on_workers(state.planes, workers)
        + state.theta
        + settings.psi * np.sign(state.p_all - state.z)
    )
    slope_z = (
        pull_on_consensus(state.planes)
        - state.theta.sum(axis=0)
        + settings.psi * np.sign(state.z - state.p_all).sum(axis=0)
    )
    total = _residual(state.z, slope_z, settings.eta_z)
    for p, slope in zip(state.p_all, slopes_p, strict=True):
        total += _residual(p, slope, settings.eta_p)
    for q, gradient in zip(q_all, gradients, strict=True):
        total += _residual(q, gradient.q, settings.eta_q)

    multipliers, eta = state.planes.multipliers, settings.eta_lambda
    ascent = plane_values(state.planes, state.p_all, state.z) - c1 * multipliers
    total += _squares((multipliers - np.maximum(0.0, multipliers + eta * ascent)) / eta)

    theta, eta, clip = state.theta, settings.eta_theta, settings.theta_clip
    ascent = state.p_all - state.z - c2 * theta
    return total + _squares((theta - np.clip(theta + eta * ascent, -clip, clip)) / eta)


def _residual(x: FloatArray, slope: FloatArray, eta: float) -> float:
    return _squares((x - project_rows(x - eta * slope)) / eta)


def _squares(x: FloatArray) -> float:
    return float(np.square(x).sum())
