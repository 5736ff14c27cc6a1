"""Prompts scored on a site's data: what they are made of, what they cost, how answers count."""

from asyndbt.scoring._calibration import CALIBRATION_QUERIES, calibration_queries, training_queries
from asyndbt.scoring._judge import Judge, check_template
from asyndbt.scoring._objective import Objective, Score, Spent, TestScores
from asyndbt.scoring._prompt_objective import PromptObjective, score_answers
from asyndbt.scoring._site_prompts import LOOKS_SHARE, Needs, SitePrompts

__all__ = [
    "CALIBRATION_QUERIES",
    "LOOKS_SHARE",
    "Judge",
    "Needs",
    "Objective",
    "PromptObjective",
    "Score",
    "SitePrompts",
    "Spent",
    "TestScores",
    "calibration_queries",
    "check_template",
    "score_answers",
    "training_queries",
]
