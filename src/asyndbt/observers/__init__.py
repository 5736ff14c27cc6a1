"""Observers that log a run to an experiment tracker."""

from asyndbt.observers._tracker import Tracker
from asyndbt.observers._trackers import MLflowTracker, TensorBoardTracker, WandbTracker

__all__ = ["MLflowTracker", "TensorBoardTracker", "Tracker", "WandbTracker"]
