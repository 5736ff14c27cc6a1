"""One step of a worker on its own policies p (fragment) and q (demonstrations).

Ma et al., Scientific Reports 16:9381 (2026), the worker's update of Algorithm 1 (method.md,
section 5): a descent step on the regularised Lagrangian in p and q, back on the simplex.

Departures:

* ``step = "exponentiated"`` (default), mirror descent with the entropy (Beck and Teboulle, 2003).
* `entropy` keeps the exponentiated step from settling on too few evaluations.
* ``step = "adam"`` projects after Adam's step; the paper does not say how it combines the two.
* With `proximity` kappa > 0 the first step after a message of the server starts from
  (1 - kappa) p + kappa z (`step_start`), a proximal pull towards the consensus, so that the sites
  settle on the same words together. The multipliers alone act later, when each site has settled by
  itself.
* Without consensus (cenDBT, one site) z is None: no pull and no robust term.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim._settings import Settings
from asyndbt.optim._simplex import project_rows
from asyndbt.optim._types import Arrays, FloatArray, Gradient

OptimizerState = dict[str, NDArray[np.generic]]
"""Adam's moments and step count (`p_first`, `p_second`, `q_first`, ..., `steps`), or empty."""

# Smallest probability that an exponentiated step starts from: a word at zero would stay at zero.
# 10,000 words at this floor hold 1e-8 of the mass.
_ALIVE = 1e-12
_BETA_FIRST, _BETA_SECOND, _ADAM_EPSILON = 0.9, 0.999, 1e-8


def initial_optimizer_state(p: FloatArray, q: FloatArray, settings: Settings) -> OptimizerState:
    """Return the first state of `worker_step`: zero moments for Adam, otherwise nothing."""
    if settings.step != "adam":
        return {}
    state: OptimizerState = {"steps": np.array(0, dtype=np.int64)}
    for name, policy in (("p", p), ("q", q)):
        state[f"{name}_first"] = np.zeros_like(policy)
        state[f"{name}_second"] = np.zeros_like(policy)
    return state


def step_start(p: FloatArray, z: FloatArray, settings: Settings) -> FloatArray:
    """Return ``(1 - kappa) p + kappa z``, where a worker starts after a message of the server."""
    return (1.0 - settings.proximity) * p + settings.proximity * z


def worker_step(
    p: FloatArray,
    q: FloatArray,
    gradient: Gradient,
    pull: FloatArray | None,
    z: FloatArray | None,
    settings: Settings,
    optimizer_state: Arrays,
    start: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray, OptimizerState]:
    """Step on p and q.

    ``p <- step(start, eta_p (grad_p f + sum_l lambda^l a^l + theta + psi sign(p - z)))``,
    ``q <- step(q, eta_q grad_q f)``.

    Parameters
    ----------
    p, q : FloatArray
        (M, N) and (U, V), rows on the simplex.
    gradient : Gradient
        Of the expected loss at `start` and q.
    pull : FloatArray or None
        (M, N) ``sum_l lambda^l a^l + theta`` of this worker; None is zero.
    z : FloatArray or None
        (M, N) consensus; None (and no `pull`) in the centralised form.
    optimizer_state : mapping of arrays
        From `initial_optimizer_state` or the previous step.
    start : FloatArray or None
        (M, N) where the step on p starts, if not at p itself (`step_start`). The robust term is
        that at p.

    Returns
    -------
    tuple
        New p, q and optimizer state; the arguments are not changed.
    """
    slope = gradient.p if pull is None else gradient.p + pull
    if z is not None:
        slope = slope + settings.psi * np.sign(p - z)
    if start is not None:
        p = start
    if settings.step == "exponentiated":
        return (
            _exponentiated(p, slope, settings.eta_p, settings.entropy),
            _exponentiated(q, gradient.q, settings.eta_q, settings.entropy),
            {},
        )
    if settings.step == "projection":
        return (
            project_rows(p - settings.eta_p * slope),
            project_rows(q - settings.eta_q * gradient.q),
            {},
        )
    return _adam(p, q, Gradient(slope, gradient.q), settings, optimizer_state)


def _exponentiated(x: FloatArray, slope: FloatArray, eta: float, tau: float) -> FloatArray:
    """Return ``(x exp(-eta slope))^(1 / (1 + eta tau)) / sum``, row by row, in logarithms.

    The minimiser of ``eta <slope, y> + KL(y, x) - eta tau entropy(y)``: the entropy enters
    implicitly, which is stable for every eta and tau.
    """
    if x.size == 0:
        return x.copy()
    logits = (np.log(np.maximum(x, _ALIVE)) - eta * slope) / (1.0 + eta * tau)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    stepped: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return stepped


def _adam(
    p: FloatArray,
    q: FloatArray,
    gradient: Gradient,
    settings: Settings,
    before: Arrays,
) -> tuple[FloatArray, FloatArray, OptimizerState]:
    """Return Adam's step (Kingma and Ba, 2015) followed by the projection."""
    steps = int(before["steps"]) + 1
    after: OptimizerState = {"steps": np.array(steps, dtype=np.int64)}
    moved = []
    for name, x, slope, eta in (
        ("p", p, gradient.p, settings.eta_p),
        ("q", q, gradient.q, settings.eta_q),
    ):
        first, second = (
            np.asarray(before[f"{name}_{moment}"], dtype=np.float64)
            for moment in ("first", "second")
        )
        first = _BETA_FIRST * first + (1.0 - _BETA_FIRST) * slope
        second = _BETA_SECOND * second + (1.0 - _BETA_SECOND) * slope**2
        after[f"{name}_first"], after[f"{name}_second"] = first, second
        mean = first / (1.0 - _BETA_FIRST**steps)
        scale = np.sqrt(second / (1.0 - _BETA_SECOND**steps)) + _ADAM_EPSILON
        moved.append(project_rows(x - eta * mean / scale))
    return moved[0], moved[1], after
