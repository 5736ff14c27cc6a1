"""The estimator that the settings name."""

from __future__ import annotations

from asyndbt.optim.estimators.protocol import Estimator
from asyndbt.optim.estimators.regression import Regression
from asyndbt.optim.estimators.reinforce import Reinforce
from asyndbt.optim.settings import Settings

__all__ = ["make_estimator"]


def make_estimator(settings: Settings) -> Estimator:
    """Return the estimator named by ``settings.estimator``."""
    if settings.estimator == "reinforce":
        return Reinforce(settings)
    return Regression(settings)
