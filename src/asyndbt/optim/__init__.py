"""Pure numerics of the method: NumPy in, NumPy out, an explicit generator, no I/O."""

from asyndbt.optim._effects import pooled_effects
from asyndbt.optim._lower_level import lower_server_step, lower_worker_step
from asyndbt.optim._planes import (
    Planes,
    add_planes,
    cached_values,
    drop_inactive,
    grow,
    plane_values,
    pull_on_consensus,
    pull_on_workers,
    refresh_products,
    violation,
)
from asyndbt.optim._read_out import read_out, read_out_distinct
from asyndbt.optim._server_step import ServerState, c1_at, c2_at, server_step
from asyndbt.optim._settings import PRESETS, Settings, make_estimator, preset
from asyndbt.optim._simplex import (
    on_simplex,
    project_rows,
    row_entropies,
    sample_rows,
    uniform_rows,
)
from asyndbt.optim._stationarity import stationarity_gap
from asyndbt.optim._types import (
    NO_WORD,
    Arrays,
    Effects,
    Evaluations,
    FloatArray,
    Gradient,
    IntArray,
    Shape,
)
from asyndbt.optim._worker_step import (
    OptimizerState,
    initial_optimizer_state,
    step_start,
    worker_step,
)
from asyndbt.optim.estimators import (
    Estimator,
    EstimatorState,
    Regression,
    Reinforce,
    find_estimators,
)

__all__ = [
    "NO_WORD",
    "PRESETS",
    "Arrays",
    "Effects",
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
    "add_planes",
    "c1_at",
    "c2_at",
    "cached_values",
    "drop_inactive",
    "find_estimators",
    "grow",
    "initial_optimizer_state",
    "lower_server_step",
    "lower_worker_step",
    "make_estimator",
    "on_simplex",
    "plane_values",
    "pooled_effects",
    "preset",
    "project_rows",
    "pull_on_consensus",
    "pull_on_workers",
    "read_out",
    "read_out_distinct",
    "refresh_products",
    "row_entropies",
    "sample_rows",
    "server_step",
    "stationarity_gap",
    "step_start",
    "uniform_rows",
    "violation",
    "worker_step",
]
