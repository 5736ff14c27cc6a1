"""Studies: methods, tasks, seeds and budgets compared, with one table of everything."""

from asyndbt.study._cells import Cell, cells_of
from asyndbt.study._estimate import StudyEstimate, estimate_study
from asyndbt.study._execute import CellProgress, CellResult
from asyndbt.study._file import StudyFile, is_study, load_study
from asyndbt.study._run import run_study

__all__ = [
    "Cell",
    "CellProgress",
    "CellResult",
    "StudyEstimate",
    "StudyFile",
    "cells_of",
    "estimate_study",
    "is_study",
    "load_study",
    "run_study",
]
