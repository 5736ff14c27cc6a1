"""Observers that show a run in a tracker of experiments: an extra for each, imported when used."""

from asyndbt.observers._mlflow import MLflowTracker
from asyndbt.observers._tensorboard import TensorBoardTracker
from asyndbt.observers._tracker import Tracker
from asyndbt.observers._wandb import WandbTracker

__all__ = ["MLflowTracker", "TensorBoardTracker", "Tracker", "WandbTracker"]
