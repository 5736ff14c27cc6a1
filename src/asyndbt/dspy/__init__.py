"""Prompt tuning as an optimizer of DSPy."""

from asyndbt.dspy._optimizer import AsynDBT

__all__ = ["AsynDBT"]
