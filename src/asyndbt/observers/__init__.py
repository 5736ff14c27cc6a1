"""Observers that show a run in a tracker of experiments: an extra for each, imported when used."""

from asyndbt.observers.mlflow import MLflowTracker
from asyndbt.observers.tensorboard import TensorBoardTracker
from asyndbt.observers.tracker import Tracker
from asyndbt.observers.wandb import WandbTracker

__all__ = ["MLflowTracker", "TensorBoardTracker", "Tracker", "WandbTracker"]
