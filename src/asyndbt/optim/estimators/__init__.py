"""Gradient estimators: from losses of drawn prompts to gradients of the expected loss."""

from asyndbt.optim.estimators._base import Estimator, EstimatorState, find_estimators
from asyndbt.optim.estimators._regression import Regression
from asyndbt.optim.estimators._reinforce import Reinforce

__all__ = ["Estimator", "EstimatorState", "Regression", "Reinforce", "find_estimators"]
