"""Runs: from a configuration to a directory that holds everything, and back."""

from asyndbt.run.estimate import Estimate, estimate_run
from asyndbt.run.events import Event, Observer
from asyndbt.run.execute import resume_run, run_config
from asyndbt.run.result import Result

__all__ = [
    "Estimate",
    "Event",
    "Observer",
    "Result",
    "estimate_run",
    "resume_run",
    "run_config",
]
