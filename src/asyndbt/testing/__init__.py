"""Fakes for tests: a tabulated problem with a known optimum, a scripted model, a grid in memory."""

from asyndbt.testing._grid import LoopbackGrid
from asyndbt.testing._scripted import Script, ScriptedLanguageModel, ScriptedReply
from asyndbt.testing._tabular import TabularObjective, TabularOptimum, TabularProblem

__all__ = [
    "LoopbackGrid",
    "Script",
    "ScriptedLanguageModel",
    "ScriptedReply",
    "TabularObjective",
    "TabularOptimum",
    "TabularProblem",
]
