"""Validation of what sites send: their offers to join and their reports.

A site may lie or be broken; it must neither stop a run nor weigh more in it than its data.  A
refused message changes nothing except the record of its sender.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from asyndbt.errors import MessageError
from asyndbt.federation._membership import Member, Roster
from asyndbt.federation._messages import (
    BOUND,
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    Join,
    LowerDone,
    LowerRound,
    Report,
    Score,
    Spent,
    Step,
    StepDone,
)
from asyndbt.federation._plan import Plan
from asyndbt.optim import FloatArray, IntArray, on_simplex


def check_join(plan: Plan, roster: Roster, join: Join) -> None:
    """Check that a site may take part.

    Raises
    ------
    MessageError
        If its settings or sizes differ from the plan's, or there are too many sites.
    """
    if join.agreement != plan.agreement:
        raise MessageError("settings differ from the coordinator's: give all the same file")
    if (join.positions, join.words) != (plan.positions, plan.words):
        raise MessageError(f"a fragment of {join.positions} positions, {join.words} words")
    most = max(100, 10 * len(plan.sites))
    if join.site not in roster and len(roster) >= most:
        raise MessageError(f"{most} sites are the most for this run")


def check_report(plan: Plan, member: Member, asked: Assignment, report: Report) -> None:
    """Check that an honest site could have sent a report.

    Parameters
    ----------
    plan : Plan
    member : Member
        The site as known before the report.
    asked : Assignment
        The work that the report answers.
    report : Report

    Raises
    ------
    MessageError
        If shapes, bounds or counts contradict the assignment or earlier reports.
    """
    train, validation, test = member.counts
    match asked, report:
        case (Step(), StepDone()):
            _check_policy(plan, report.p)
            _check_fragment(plan, report.proposal)
            _check_effects(plan, report)
            _check_scores(validation, report.validation)
        case (LowerRound(), LowerDone()):
            _check_policy(plan, report.p)
        case (Confirm(), ConfirmDone()):
            if report.losses.shape != (len(asked.candidates),):
                raise MessageError(f"{report.losses.shape} losses for {len(asked.candidates)}")
            if not ((report.losses >= 0) & (report.losses <= BOUND)).all():
                raise MessageError("losses out of bounds")
            _check_scores(train + validation, Score(n=report.n))
        case (Evaluate(), EvaluateDone()):
            _check_scores(validation, report.validation)
            _check_scores(test, report.plain, report.random_icl, report.tuned)
        case _:
            raise MessageError(f"{type(asked).__name__} answered by {type(report).__name__}")
    for field in fields(Spent):
        if getattr(report.spent, field.name) < getattr(member.spent, field.name):
            raise MessageError(f"its count of {field.name} has fallen")


def _check_policy(plan: Plan, p: FloatArray) -> None:
    wanted = (plan.positions, plan.words)
    if p.shape != wanted:
        raise MessageError(f"a policy of shape {p.shape} instead of {wanted}")
    if not on_simplex(p, 1e-6):
        raise MessageError("a policy that is not on the simplex")


def _check_fragment(plan: Plan, words: IntArray) -> None:
    if words.shape != (plan.positions,):
        raise MessageError(f"a fragment of shape {words.shape} instead of {(plan.positions,)}")
    if not ((words >= 0) & (words < max(1, plan.words))).all():
        raise MessageError("a fragment with words that are not in the vocabulary")
    distinct = plan.settings.distinct_words and plan.positions <= plan.words
    if distinct and np.unique(words).size < words.size:
        raise MessageError("a fragment that says a word twice")


def _check_effects(plan: Plan, report: StepDone) -> None:
    for values in (report.effects, report.precisions):
        if values.shape != (plan.effects,):
            raise MessageError(f"effects of shape {values.shape} instead of {(plan.effects,)}")
        if not (np.abs(values) <= BOUND).all():
            raise MessageError("effects out of bounds")


def _check_scores(count: int, *scores: Score) -> None:
    for score in scores:
        if score.n > count:
            raise MessageError(f"a score over {score.n} examples, of {count} that it has")
