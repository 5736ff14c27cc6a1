"""A tiny language model and its tasks, for demos, tests and the comparison of tuners.

The model is trained from scratch by ``training/pocket``; see ``docs/pocket-model.md``.
"""

from asyndbt.pocket.datasets import TASKS, PocketTask, dataset, fragment_vocabulary
from asyndbt.pocket.model import PocketModel

__all__ = [
    "TASKS",
    "PocketModel",
    "PocketTask",
    "dataset",
    "fragment_vocabulary",
]
