"""Settings of the method, as numbers only: what the formulas in this package read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["PRESETS", "Settings", "preset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the numerics of AsynDBT can be told.

    The defaults of the fields leave every term of this project's own out; `PRESETS` has the
    settings that runs use.

    Parameters
    ----------
    loss : {"cross_entropy", "error"}
        What tuning lowers: minus the log-probability of the right label, or whether the most
        probable label is wrong, weighted as with feedback ``text``.
    estimator : {"regression", "reinforce"}
        How gradients are estimated from answers.
    draws : int
        I, prompts drawn per worker step; at least 2.
    batch_size : int
        B, training queries on which every draw of a step is evaluated.
    ridge : float
        Ridge penalty of `regression`.
    discount : float
        Weight of an evaluation one step older, in (0, 1], of `regression`.
    shared_words, positional_words : float
        Prior variances of a word's effect wherever it stands and of what it does beyond that at
        one position, relative to the variance of a demonstration's effect (`regression`).
    window : int
        Latest draws that `regression` remembers.
    probability_floor : float
        Smallest denominator of `reinforce`.
    step : {"exponentiated", "projection", "adam"}
        Form of a worker's step on p and q.
    distinct_words : bool
        Whether a fragment is read out of its policy without repeating a word.
    eta_p, eta_q : float
        Step sizes of the fragment policy p and the demonstration policy q.
    entropy : float
        Weight tau of a term ``-tau * entropy`` of p and of q in the exponentiated step: a policy
        settles only on differences of the loss that are large beside tau nats. 0 is the paper.
    eta_z, eta_lambda, eta_theta : float
        Step sizes of the consensus z, the plane multipliers and the consensus multipliers.
    proximity : float
        kappa in [0, 1]: a worker's step starts from (1 - kappa) p + kappa z. 0 is the paper.
    averaging : float
        alpha in [0, 1]: the server's step starts from z + alpha (mean of live p - z). 0 is the
        paper.
    psi : float
        Weight of the robust term, psi * sum_v ||p^(v) - z||_1.
    c1_min, c2_min : float
        Floors of the regularisation schedules c1_t and c2_t.
    regularisation : {"scheduled", "constant"}
        ``scheduled`` uses max(c_min, 1 / (eta (t + 1)^(1/4))), ``constant`` uses c_min.
    theta_clip : float
        Bound on every entry of theta (Assumption 2).
    mu : float
        Penalty of the augmented Lagrangian of the lower level.
    eta_rho : float
        Multiplier step of the lower level.
    eta_lower : float
        Step size of the workers in the lower level's estimate (a projected step).
    lower_rounds : int
        K_in, rounds of the lower-level estimate.
    refresh_every : int
        delta, server steps between estimates of the lower level and its planes; 0 turns planes off.
    refresh_until : int
        T1, no plane is added after this server step.
    plane_tolerance : float
        eps, a plane is added at a position only where h_i > eps.
    plane_gamma : float
        gamma, a plane whose multiplier is <= gamma before and after an update is removed.
    """

    loss: Literal["cross_entropy", "error"] = "cross_entropy"
    estimator: Literal["regression", "reinforce"] = "regression"
    draws: int = 4
    batch_size: int = 5
    ridge: float = 4.0
    discount: float = 0.99
    shared_words: float = 1.0
    positional_words: float = 1.0
    window: int = 1_500
    probability_floor: float = 1e-6
    step: Literal["exponentiated", "projection", "adam"] = "exponentiated"
    distinct_words: bool = False
    eta_p: float = 5.0
    eta_q: float = 5.0
    entropy: float = 0.0
    eta_z: float = 0.05
    eta_lambda: float = 0.1
    eta_theta: float = 0.1
    proximity: float = 0.0
    averaging: float = 0.0
    psi: float = 0.1
    c1_min: float = 0.01
    c2_min: float = 0.01
    regularisation: Literal["scheduled", "constant"] = "constant"
    theta_clip: float = 1.0
    mu: float = 1.0
    eta_rho: float = 0.1
    eta_lower: float = 0.1
    lower_rounds: int = 1
    refresh_every: int = 10
    refresh_until: int = 1_000
    plane_tolerance: float = 0.1
    plane_gamma: float = 0.0


PRESETS: dict[str, Settings] = {
    "default": Settings(
        loss="error",
        draws=5,
        batch_size=4,
        ridge=20.0,
        shared_words=0.1,
        positional_words=0.01,
        window=1_000,
        distinct_words=True,
        eta_p=100.0,
        eta_q=40.0,
        entropy=0.003,
        eta_z=0.1,
        eta_lambda=0.002,
        eta_theta=0.001,
        proximity=1.0,
        averaging=1.0,
        psi=0.001,
        theta_clip=0.02,
        eta_lower=1.0,
        refresh_every=20,
        plane_tolerance=1.0,
    ),
    "paper": Settings(
        estimator="reinforce",
        draws=8,
        batch_size=20,
        step="adam",
        eta_p=1e-4,
        eta_q=1e-4,
        eta_z=0.1,
        regularisation="scheduled",
        refresh_every=50,
        refresh_until=500,
    ),
}


def preset(name: str, **overrides: Any) -> Settings:
    """Return the settings of a preset, some of them replaced.

    Parameters
    ----------
    name : {"default", "paper"}
    **overrides
        Fields of `Settings` to replace; None keeps the preset's value.

    Examples
    --------
    >>> preset("paper", draws=4).draws
    4
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    return replace(PRESETS[name], **given)
