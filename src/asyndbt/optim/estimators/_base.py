"""The seam between answers and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim._types import Evaluations, FloatArray, Gradient, Shape

__all__ = ["Estimator", "EstimatorState"]

EstimatorState = dict[str, NDArray[np.generic]]
"""Arrays only, so that it goes into a checkpoint as it is."""


class Estimator(Protocol):
    """Estimate the gradients of the expected loss over p and q from evaluated prompts.

    For independent categorical rows the exact gradient is the main effect
    ``d/dp_ij E[L] = E[L | J_i = j]``; a constant added to a row does not matter on the simplex, so
    an estimate is meant up to one constant per row.

    An estimator holds settings only. All that it learns is in a state that it is handed and never
    changes: the same state and evaluations always give the same result.
    """

    def initial(self, shape: Shape) -> EstimatorState:
        """Return the state before any evaluation."""
        ...

    def update(
        self, state: Mapping[str, NDArray[np.generic]], evaluations: Evaluations
    ) -> EstimatorState:
        """Return a new state that knows `evaluations` too; failed requests are NaN losses."""
        ...

    def gradient(
        self, state: Mapping[str, NDArray[np.generic]], p: FloatArray, q: FloatArray
    ) -> Gradient:
        """Return finite gradients at p and q, zero where nothing has been learnt."""
        ...
