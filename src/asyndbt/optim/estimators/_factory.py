"""The estimator that the settings name."""

from __future__ import annotations

from asyndbt.optim._settings import Settings
from asyndbt.optim.estimators._base import Estimator
from asyndbt.optim.estimators._regression import Regression
from asyndbt.optim.estimators._reinforce import Reinforce

__all__ = ["make_estimator"]


def make_estimator(settings: Settings) -> Estimator:
    """Return the estimator named by ``settings.estimator``."""
    if settings.estimator == "reinforce":
        return Reinforce(settings)
    return Regression(settings)
