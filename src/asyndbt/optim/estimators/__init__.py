"""Gradient estimators: from losses of drawn prompts to gradients of the expected loss."""

from __future__ import annotations

from asyndbt.optim.estimators.factory import make_estimator
from asyndbt.optim.estimators.protocol import Estimator, EstimatorState
from asyndbt.optim.estimators.regression import Regression
from asyndbt.optim.estimators.reinforce import Reinforce

__all__ = ["Estimator", "EstimatorState", "Regression", "Reinforce", "make_estimator"]
