"""Methods to compare AsynDBT with, on the same data and budget, counted by the same ledger."""

from asyndbt.baselines._base import (
    Baseline,
    BaselineSite,
    PerSiteBaseline,
    TuningOutcome,
    objective_of,
)
from asyndbt.baselines._cendbt import CenDBT
from asyndbt.baselines._predictors import FixedPrompt, Predictor
from asyndbt.baselines._run_method import methods, resume_run, run_method
from asyndbt.baselines._search import Pair, RandomProposer, Search
from asyndbt.baselines._tpe import TpeProposer

__all__ = [
    "Baseline",
    "BaselineSite",
    "CenDBT",
    "FixedPrompt",
    "Pair",
    "PerSiteBaseline",
    "Predictor",
    "RandomProposer",
    "Search",
    "TpeProposer",
    "TuningOutcome",
    "methods",
    "objective_of",
    "resume_run",
    "run_method",
]
