"""Runs: from a configuration to a directory that holds everything, and back."""

from asyndbt.run.advice import USEFUL_STEPS
from asyndbt.run.check import Checked, check_config
from asyndbt.run.estimate import Estimate, can_begin, estimate_run
from asyndbt.run.events import Event, Observer
from asyndbt.run.execute import resume_run, run_config
from asyndbt.run.result import Result

__all__ = [
    "USEFUL_STEPS",
    "Checked",
    "Estimate",
    "Event",
    "Observer",
    "Result",
    "can_begin",
    "check_config",
    "estimate_run",
    "resume_run",
    "run_config",
]
