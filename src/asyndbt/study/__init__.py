"""Studies: methods, tasks, seeds and budgets compared, with one table of everything."""

from asyndbt.study.cells import Cell, cells_of
from asyndbt.study.estimate import StudyEstimate, estimate_study
from asyndbt.study.file import StudyFile, is_study, load_study
from asyndbt.study.study import run_study

__all__ = [
    "Cell",
    "StudyEstimate",
    "StudyFile",
    "cells_of",
    "estimate_study",
    "is_study",
    "load_study",
    "run_study",
]
