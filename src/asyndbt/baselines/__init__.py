"""What AsynDBT is compared with, on the same data, at the same cost, counted by the same ledger."""

from asyndbt.baselines.registry import METHODS, Method, run_method

__all__ = ["METHODS", "Method", "run_method"]
