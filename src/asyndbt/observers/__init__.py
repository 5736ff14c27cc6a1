"""Observers that log a run to an experiment tracker."""

from asyndbt.observers._trackers import MLflowTracker, TensorBoardTracker, Tracker, WandbTracker

__all__ = ["MLflowTracker", "TensorBoardTracker", "Tracker", "WandbTracker"]
