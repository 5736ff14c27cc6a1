"""What a site sends in place of its reports, where its data get local differential privacy.

Two things in its reports depend on its data and are of use to others: the step from z to its
policy p, and its vote on fragments. Both get noise. All else is left out, or is the same whatever
the data are (``docs/privacy.md``). The site counts its noisy reports, and sends no data in those
beyond the number that was settled, whatever it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

import numpy as np

from asyndbt.federation._discrete_gaussian import discrete_gaussian
from asyndbt.federation._messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    LowerDone,
    LowerRound,
    Report,
    Step,
    StepDone,
)
from asyndbt.federation._plan import Plan
from asyndbt.federation._privacy import Privacy
from asyndbt.federation._refusals import LARGEST_LOSS
from asyndbt.optim import FloatArray, project_rows
from asyndbt.scoring import Score, Spent

_SENSITIVITY: Final = 2
"""Largest distance of two points of the unit ball."""
_GRID: Final = 2**20
"""Steps of the grid in a length of one."""
_MIDDLE: Final = LARGEST_LOSS / 2
"""Nats: in the middle of the losses that may be reported."""


class PrivateReports:
    """Makes the reports of one site private, and counts those that cost privacy.

    Parameters
    ----------
    privacy : Privacy
    plan : Plan
    source : callable
        Returns the source of noise for the report of a number.

    Attributes
    ----------
    spent : int
        Noisy reports so far. It must never fall, whatever else of the run is lost.
    """

    def __init__(self, privacy: Privacy, plan: Plan, source: Callable[[int], Random]) -> None:
        self._privacy, self._plan, self._source = privacy, plan, source
        self.spent = 0

    def of(self, work: Assignment, report: Report) -> Report:
        """Return what is sent in place of a report on this work."""
        address: dict[str, Any] = {"site": report.site, "id": report.id, "spent": Spent()}
        match work, report:
            case Step(), StepDone():
                p = self._policy(report.p, work.z)
                return StepDone(
                    p=p,
                    proposal=self._plan.fragment(p),
                    loss=0.0,
                    answered=0,
                    entropy_q=0.0,
                    entropy_q_max=0.0,
                    exhausted=self.spent >= self._privacy.steps,
                    validation=Score(),
                    **address,
                )
            case LowerRound(), LowerDone():
                return LowerDone(p=project_rows(work.point), **address)
            case Confirm(), ConfirmDone():
                return ConfirmDone(losses=self._vote(report.losses), n=1, **address)
            case Evaluate(), EvaluateDone():
                return EvaluateDone(
                    plain=Score(),
                    random_icl=Score(),
                    tuned=Score(),
                    validation=Score(),
                    kept_own=False,
                    **address,
                )
        raise TypeError(f"{type(report).__name__} on {type(work).__name__}")

    def _policy(self, p: FloatArray, z: FloatArray) -> FloatArray:
        """Return z and the clipped step to p under noise, shrunk and projected; z at last.

        The noise is far longer than the step. So both are shrunk by the factor with which the mean
        over the sites comes closest to their mean step, if all take the same: Wiener's filter.
        """
        if self.spent >= self._privacy.steps:
            return project_rows(z)
        step = _finite((p - z) / self._privacy.clip)
        noisy = self._noised(step / max(1.0, float(np.linalg.norm(step))))
        variance = step.size * (_SENSITIVITY * self._privacy.noise) ** 2 / len(self._plan.sites)
        return project_rows(z + self._privacy.clip / (1 + variance) * noisy)

    def _vote(self, losses: FloatArray) -> FloatArray:
        """Return losses (C,) that compare as these do, under noise; equal ones at last.

        Only comparisons count, so the direction of the centred losses is sent, in units in which
        the noise has the variance one.
        """
        if self.spent > self._privacy.steps:
            return np.full(len(losses), _MIDDLE)
        losses = _finite(losses)
        centred = losses - losses.mean()
        noisy = self._noised(centred / max(float(np.linalg.norm(centred)), 1e-12))
        votes = _MIDDLE + noisy / (_SENSITIVITY * self._privacy.noise)
        return np.clip(votes, 0.0, LARGEST_LOSS)

    def _noised(self, point: FloatArray) -> FloatArray:
        """Return a point of the unit ball, rounded towards zero to the grid, under noise."""
        rng, sigma = self._source(self.spent), _SENSITIVITY * self._privacy.noise * _GRID
        self.spent += 1
        # One less than the grid has: a norm of one may be a little more in floating point.
        whole = np.trunc(point * (_GRID - 1)).astype(np.int64)
        noise = [discrete_gaussian(math.ceil(sigma), rng) for _ in range(point.size)]
        noisy: FloatArray = (whole + np.reshape(noise, point.shape)) / _GRID
        return noisy


def _finite(values: FloatArray) -> FloatArray:
    """Return values, or zeros if one is not finite: no noise hides what that would become."""
    return values if np.isfinite(values).all() else np.zeros_like(values)
