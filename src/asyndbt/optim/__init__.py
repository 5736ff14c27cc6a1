"""Pure numerics of the method: NumPy in, NumPy out, an explicit generator, no I/O."""

from __future__ import annotations

from asyndbt.optim.estimators import (
    Estimator,
    EstimatorState,
    Regression,
    Reinforce,
    make_estimator,
)
from asyndbt.optim.lower import lower_server_step, lower_worker_step
from asyndbt.optim.plane_values import (
    pull_on_consensus,
    pull_on_workers,
    renew_products,
    standing_values,
    values,
)
from asyndbt.optim.planes import Planes, add_planes, drop_inactive, grow, violation
from asyndbt.optim.schedules import c1_at, c2_at
from asyndbt.optim.server_step import ServerState, server_step
from asyndbt.optim.settings import PRESETS, Settings, preset
from asyndbt.optim.simplex import (
    on_simplex,
    project_rows,
    read_out,
    read_out_distinct,
    row_entropies,
    sample_rows,
    uniform_rows,
)
from asyndbt.optim.stationarity import stationarity_gap
from asyndbt.optim.tabular import TabularOptimum, TabularProblem
from asyndbt.optim.types import (
    Arrays,
    Evaluations,
    FloatArray,
    Gradient,
    IntArray,
    Shape,
)
from asyndbt.optim.worker_step import OptimizerState, initial_optimizer_state, worker_step

__all__ = [
    "PRESETS",
    "Arrays",
    "Estimator",
    "EstimatorState",
    "Evaluations",
    "FloatArray",
    "Gradient",
    "IntArray",
    "OptimizerState",
    "Planes",
    "Regression",
    "Reinforce",
    "ServerState",
    "Settings",
    "Shape",
    "TabularOptimum",
    "TabularProblem",
    "add_planes",
    "c1_at",
    "c2_at",
    "drop_inactive",
    "grow",
    "initial_optimizer_state",
    "lower_server_step",
    "lower_worker_step",
    "make_estimator",
    "on_simplex",
    "preset",
    "project_rows",
    "pull_on_consensus",
    "pull_on_workers",
    "read_out",
    "read_out_distinct",
    "renew_products",
    "row_entropies",
    "sample_rows",
    "server_step",
    "standing_values",
    "stationarity_gap",
    "uniform_rows",
    "values",
    "violation",
    "worker_step",
]
