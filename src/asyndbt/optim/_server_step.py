"""The server's step on the consensus z and the multipliers lambda and theta.

Ma et al., Scientific Reports 16:9381 (2026), the server's update of Algorithm 1; ADBO (Jiao et al.,
ICLR 2023, arXiv 2212.10048), Algorithm 1; robust sign term from RSA (Li et al., AAAI 2019). The
Lagrangian is regularised by ``- (c1_t / 2) ||lambda||^2 - (c2_t / 2) ||theta||^2``, whose weights
fall as t^(-1/4) down to a floor (ADBO, section 3).

Departures:

* Workers declared gone are in no sum, and come back with policy z; neither source has such workers.
* Workers that have not reported, since the start or since they came back, are in no sum either: the
  policies that stand for them would hold z where it was, the longer the smaller the quorum.
* With `averaging` alpha > 0 the step on z starts from z + alpha (mean of those p - z), the proximal
  counterpart of the workers' `proximity`. One worker among the W that have reported thereby moves z
  by at most alpha / W of its distance to z.
* Workers are summed in their fixed order, whatever the order of their reports.
* ``regularisation = "constant"`` is the default: a scheduled c2, 1 / eta_theta at the start, keeps
  theta at p - z for long, and the sites hardly agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim._planes import (
    Planes,
    cached_values,
    drop_inactive,
    grow,
    pull_on_consensus,
    refresh_products,
)
from asyndbt.optim._settings import Settings
from asyndbt.optim._simplex import project_rows, uniform_rows
from asyndbt.optim._types import Arrays, FloatArray, IntArray

# Numbers in a block of workers: fits the processor's cache, and a block's signs sum in int16.
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server's variables.

    Parameters
    ----------
    z : FloatArray
        (M, N) consensus.
    p_all, theta : FloatArray
        (W, M, N) the workers' last policies, and the consensus multipliers.
    planes : Planes
        With their multipliers lambda.
    live : NDArray[np.bool_]
        (W,) workers that are not declared gone.
    reported : NDArray[np.bool_]
        (W,) workers whose policy comes from a report, since they joined or came back.
    iteration : int
        t, server steps so far.
    """

    z: FloatArray
    p_all: FloatArray
    theta: FloatArray
    planes: Planes
    live: NDArray[np.bool_]
    reported: NDArray[np.bool_]
    iteration: int

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(W,) workers that are in the sums: live, and their policy comes from a report."""
        return self.live & self.reported

    @classmethod
    def initial(cls, workers: int, positions: int, words: int) -> ServerState:
        """Return uniform policies of W workers, no planes, and zero multipliers."""
        z = uniform_rows(positions, words)
        return cls(
            z=z,
            p_all=np.repeat(z[None], workers, axis=0),
            theta=np.zeros((workers, positions, words)),
            planes=Planes.empty(positions, words, workers),
            live=np.ones(workers, dtype=np.bool_),
            reported=np.zeros(workers, dtype=np.bool_),
            iteration=0,
        )

    def with_live(self, live: NDArray[np.bool_]) -> ServerState:
        """Return the state with other live workers, (W,) booleans."""
        return replace(self, live=live.copy())

    def with_worker(self) -> ServerState:
        """Return the state with one more worker at the end, with policy z and zero theta."""
        return replace(
            self,
            p_all=np.concatenate([self.p_all, self.z[None]]),
            theta=np.concatenate([self.theta, np.zeros((1, *self.z.shape))]),
            planes=grow(self.planes, 1),
            live=np.append(self.live, True),
            reported=np.append(self.reported, False),
        )

    def with_return(self, worker: int) -> ServerState:
        """Return the state with policy z and zero theta for a worker that was gone.

        Its old policy may be far from where the others have gone meanwhile. `p_all`, `theta` and
        `reported` are changed in place.
        """
        self.p_all[worker] = self.z
        self.theta[worker] = 0.0
        self.reported[worker] = False
        planes = refresh_products(self.planes, self.p_all, np.array([worker]))
        return replace(self, planes=planes)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fields as arrays, for a checkpoint."""
        planes = {f"planes_{name}": value for name, value in self.planes.arrays().items()}
        return {
            "z": self.z,
            "p_all": self.p_all,
            "theta": self.theta,
            "live": self.live,
            "reported": self.reported,
            "iteration": np.array(self.iteration, dtype=np.int64),
            **planes,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> ServerState:
        """Return the state that `arrays` came from, sharing no memory but the planes'."""
        planes = {name.removeprefix("planes_"): value for name, value in arrays.items()}
        return cls(
            z=np.array(arrays["z"], dtype=np.float64),
            p_all=np.array(arrays["p_all"], dtype=np.float64),
            theta=np.array(arrays["theta"], dtype=np.float64),
            planes=Planes.from_arrays(planes),
            live=np.array(arrays["live"], dtype=np.bool_),
            reported=np.array(arrays["reported"], dtype=np.bool_),
            iteration=int(np.asarray(arrays["iteration"])),
        )


def server_step(
    state: ServerState, active: IntArray, reports_p: FloatArray, settings: Settings
) -> ServerState:
    """Store the active workers' policies, then step on z, lambda and theta in this order.

    ``z <- P(z - eta_z (sum_l lambda^l b^l - sum_v theta^(v) + psi sum_v sign(z - p^(v))))``,
    ``lambda <- max(0, lambda + eta_lambda (sum_v a.p^(v) + b.z + c - c1_t lambda))``,
    ``theta^(v) <- clip(theta^(v) + eta_theta (p^(v) - z - c2_t theta^(v)))`` for active v only;
    then planes whose multiplier is <= gamma before and after are removed. Sums are over the workers
    that are live and have reported.

    Parameters
    ----------
    state : ServerState
        Consumed: `p_all`, `theta` and `reported` are changed in place and reused in the returned
        state. Copy `arrays()` to keep a state.
    active : IntArray
        (A,) indices of the workers that reported, each once, in any order.
    reports_p : FloatArray
        (A, M, N) their new policies.
    """
    state.p_all[active] = reports_p
    state.reported[active] = True
    counted = state.counted
    planes = refresh_products(state.planes, state.p_all, active)

    slope = pull_on_consensus(planes) + _workers_pull_on_consensus(state, settings.psi)
    start = state.z
    if settings.averaging and counted.any():
        start = start + settings.averaging * (state.p_all[counted].mean(axis=0) - start)
    z = project_rows(start - settings.eta_z * slope)

    before = planes.multipliers
    ascent = cached_values(planes, z, counted) - c1_at(state.iteration, settings) * before
    planes = replace(planes, multipliers=np.maximum(0.0, before + settings.eta_lambda * ascent))

    _step_theta(state, active, z, settings)
    return replace(
        state,
        z=z,
        planes=drop_inactive(planes, before, settings.plane_gamma),
        iteration=state.iteration + 1,
    )


def _workers_pull_on_consensus(state: ServerState, psi: float) -> FloatArray:
    """Return (M, N) ``- sum_v theta^(v) + psi sum_v sign(z - p^(v))`` over `counted`."""
    pull = np.zeros(state.z.shape)
    signs = np.zeros(state.z.shape, dtype=np.int64)
    for block in _blocks(np.flatnonzero(state.counted), state.z.size):
        pull -= state.theta[block].sum(axis=0)
        if psi:
            # Two comparisons are five times as fast as np.sign(z - p).
            policies = state.p_all[block]
            sign = np.less(policies, state.z).view(np.int8)
            sign -= np.greater(policies, state.z).view(np.int8)
            signs += sign.sum(axis=0, dtype=np.int16)
    return pull + psi * signs


def _step_theta(state: ServerState, active: IntArray, z: FloatArray, settings: Settings) -> None:
    eta, clip = settings.eta_theta, settings.theta_clip
    kept = 1.0 - eta * c2_at(state.iteration, settings)
    for block in _blocks(active, z.size):
        difference = state.p_all[block] - z
        difference *= eta
        difference += kept * state.theta[block]
        state.theta[block] = np.clip(difference, -clip, clip, out=difference)


def _blocks(workers: IntArray, size: int) -> Iterator[IntArray | slice]:
    """Yield `workers` in blocks, those of neighbours as slices, which are read without a copy."""
    length = max(1, _BLOCK // max(size, 1))
    for start in range(0, workers.size, length):
        block = workers[start : start + length]
        first, last = int(block[0]), int(block[-1])
        ordered = last - first + 1 == block.size and bool((np.diff(block) == 1).all())
        yield slice(first, last + 1) if ordered else block


def c1_at(iteration: int, settings: Settings) -> float:
    """Return ``c1_t = max(c1_min, 1 / (eta_lambda (t + 1)^(1/4)))``, or c1_min if constant."""
    return _weight(iteration, settings.eta_lambda, settings.c1_min, settings)


def c2_at(iteration: int, settings: Settings) -> float:
    """Return ``c2_t = max(c2_min, 1 / (eta_theta (t + 1)^(1/4)))``, or c2_min if constant."""
    return _weight(iteration, settings.eta_theta, settings.c2_min, settings)


def _weight(iteration: int, eta: float, floor: float, settings: Settings) -> float:
    if settings.regularisation == "constant":
        return floor
    return max(floor, 1.0 / (eta * math.pow(iteration + 1, 0.25)))
