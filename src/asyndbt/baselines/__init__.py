"""What AsynDBT is compared with, on the same data, at the same cost, counted by the same ledger."""

from asyndbt.baselines._asyndbt import CenDBT
from asyndbt.baselines._base import objective_of
from asyndbt.baselines._registry import methods, resume_run, run_method
from asyndbt.baselines._search import Pair, RandomProposer, Search
from asyndbt.baselines._tpe import TpeProposer

__all__ = [
    "CenDBT",
    "Pair",
    "RandomProposer",
    "Search",
    "TpeProposer",
    "methods",
    "objective_of",
    "resume_run",
    "run_method",
]
