"""Estimate of the lower level's solution phi by a few rounds of an augmented Lagrangian.

Ma et al., Scientific Reports 16:9381 (2026), equations 7-13, after ADBO (arXiv 2212.10048,
section 3.1): ``phi(K) = argmin { sum_v g_v(p^(v); K) : p^(v) = z }`` for fixed demonstrations K,
by K_in rounds from the current iterate and rho = 0. A round is a step of every worker
(`lower_worker_step`) and one of the server (`lower_server_step`).

Departures:

* The worker's robust term is ``sign(p - z)``; the paper prints ``sign(z - p)``, which pushes p
  away from z in a descent step.
* The step size `eta_lower` is separate: that of the exponentiated step is far too large for the
  projected step taken here.
"""

from __future__ import annotations

import numpy as np

from asyndbt.optim._settings import Settings
from asyndbt.optim._simplex import project_rows
from asyndbt.optim._types import FloatArray


def lower_worker_step(
    p: FloatArray, grad: FloatArray, rho: FloatArray, z: FloatArray, settings: Settings
) -> FloatArray:
    """Return ``P(p - eta_lower [grad g + rho + mu (p - z) + psi sign(p - z)])``.

    Parameters
    ----------
    p, grad, rho, z : FloatArray
        (M, N) this worker's policy, the gradient of g at it, its multiplier, and the consensus.
    """
    apart = p - z
    slope = grad + rho + settings.mu * apart + settings.psi * np.sign(apart)
    return project_rows(p - settings.eta_lower * slope)


def lower_server_step(
    z: FloatArray, p_all: FloatArray, rho_all: FloatArray, settings: Settings
) -> tuple[FloatArray, FloatArray]:
    """Return the stepped consensus (M, N) and, from it, the stepped multipliers (W, M, N).

    ``z <- P(z - eta_z sum_v [-rho^(v) + mu (z - p^(v)) + psi sign(z - p^(v))])``,
    ``rho^(v) <- rho^(v) + eta_rho (p^(v) - z)``.

    Parameters
    ----------
    z : FloatArray
        (M, N) consensus.
    p_all, rho_all : FloatArray
        (W, M, N) policies and multipliers.
    """
    slope = np.zeros(z.shape)
    for p, rho in zip(p_all, rho_all, strict=True):
        apart = z - p
        slope += settings.mu * apart - rho + settings.psi * np.sign(apart)
    stepped = project_rows(z - settings.eta_z * slope)
    return stepped, rho_all + settings.eta_rho * (p_all - stepped)
