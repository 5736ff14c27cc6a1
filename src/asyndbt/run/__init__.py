"""Runs: from a configuration to a directory that holds everything, and back."""

from asyndbt.run.events import Event, Observer
from asyndbt.run.execute import resume_run, run_config
from asyndbt.run.result import Result

__all__ = ["Event", "Observer", "Result", "resume_run", "run_config"]
