"""Prompt tuning as a classifier of scikit-learn."""

from asyndbt.sklearn._classifier import AsynDBTClassifier

__all__ = ["AsynDBTClassifier"]
