"""Regularisation of the dual variables over the iterations.

The regularised Lagrangian holds ``- (c1_t / 2) ||lambda||^2 - (c2_t / 2) ||theta||^2``; the paper
and ADBO (arXiv 2212.10048, section 3) let both weights fall as t^(-1/4), down to a floor.

Departures: constant weights (``regularisation = "constant"``) are the default, because a scheduled
c2 of 1 / eta_theta at the start keeps theta at p - z for long and the sites hardly agree.
"""

from __future__ import annotations

import math

from asyndbt.optim.settings import Settings

__all__ = ["c1_at", "c2_at"]


def c1_at(iteration: int, settings: Settings) -> float:
    """Return ``c1_t = max(c1_min, 1 / (eta_lambda (t + 1)^(1/4)))``, or c1_min where constant."""
    return _weight(iteration, settings.eta_lambda, settings.c1_min, settings)


def c2_at(iteration: int, settings: Settings) -> float:
    """Return ``c2_t = max(c2_min, 1 / (eta_theta (t + 1)^(1/4)))``, or c2_min where constant."""
    return _weight(iteration, settings.eta_theta, settings.c2_min, settings)


def _weight(iteration: int, eta: float, floor: float, settings: Settings) -> float:
    if settings.regularisation == "constant":
        return floor
    return max(floor, 1.0 / (eta * math.pow(iteration + 1, 0.25)))
