"""Validation of what sites send, their offers to join and their reports, and of their work.

A site may lie or be broken; it must neither stop a run nor weigh more in it than its data.  A
refused message changes nothing except the record of its sender.  A coordinator may ask what no
honest one does, to learn from whether the work fails; so a site refuses it whatever its data are.

Numbers are bounded by what is possible: losses by the least probability that answers are read with,
answers by what a step asks, and what was spent by twice the budget, since an endpoint may count
more tokens than were foreseen.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Final

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
    Step,
    StepDone,
)
from asyndbt.federation._plan import Plan
from asyndbt.federation._rounding import DECIMALS
from asyndbt.lm import LOG_FLOOR
from asyndbt.optim import NO_WORD, FloatArray, IntArray, on_simplex
from asyndbt.scoring import Score, Spent

LARGEST_LOSS: Final = round(-LOG_FLOOR, DECIMALS)
"""Nats: what a label costs that the model rules out."""
_LARGEST_ENTROPY = math.log(BOUND)


def check_join(plan: Plan, roster: Roster, join: Join) -> None:
    """Check that a site may take part.

    Raises
    ------
    MessageError
        If its settings or sizes differ from the plan's, or it is not one of the plan's sites; in an
        open run, if there are too many sites.
    """
    if join.agreement != plan.agreement:
        raise MessageError("settings differ from the coordinator's: give all the same file")
    if (join.positions, join.words) != (plan.positions, plan.words):
        raise MessageError(f"a fragment of {join.positions} positions, {join.words} words")
    if join.site in roster:
        return
    if not plan.open:
        raise MessageError(f"site {join.site}: not one of the sites of this run")
    most = max(100, 10 * len(plan.sites))
    if len(roster) >= most:
        raise MessageError(f"{most} sites are the most for this run")


def check_work(plan: Plan, work: Assignment) -> None:
    """Check that an honest coordinator could have handed out a piece of work.

    Raises
    ------
    MessageError
        If shapes or values contradict the plan.
    """
    match work:
        case Step():
            _check_policy(plan, work.z)
            _check_shape(plan, work.pull)
        case LowerRound():
            _check_policy(plan, work.point)
            _check_policy(plan, work.z)
            _check_shape(plan, work.rho)
        case Confirm():
            for words in work.candidates:
                _check_fragment(plan, words)
        case Evaluate():
            _check_fragment(plan, work.fragment)


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
            _check_step(plan, report)
            _check_scores(validation, report.validation)
        case (LowerRound(), LowerDone()):
            _check_policy(plan, report.p)
        case (Confirm(), ConfirmDone()):
            if report.losses.shape != (len(asked.candidates),):
                raise MessageError(f"{report.losses.shape} losses for {len(asked.candidates)}")
            _check_losses(report.losses)
            # A private vote says nothing of the number of examples.
            most = train + validation if plan.privacy is None else 1
            _check_scores(most, Score(n=report.n))
        case (Evaluate(), EvaluateDone()):
            _check_scores(validation, report.validation)
            _check_scores(test, report.plain, report.random_icl, report.tuned)
        case _:
            raise MessageError(f"{type(asked).__name__} answered by {type(report).__name__}")
    for field in fields(Spent):
        # Answers found in the cache are what is left of the requests, and fall when a site that was
        # taken back to an earlier state counts answers that it has paid for and never asks again.
        if field.name == "cached":
            continue
        if getattr(report.spent, field.name) < getattr(member.spent, field.name):
            raise MessageError(f"its count of {field.name} has fallen")
    _check_spending(plan, report.spent)


def _check_step(plan: Plan, report: StepDone) -> None:
    settings = plan.settings
    _check_losses(report.loss)
    if not 0 <= report.entropy_q <= report.entropy_q_max <= _LARGEST_ENTROPY:
        raise MessageError("entropies out of bounds")
    asked = settings.draws * settings.batch_size * plan.local_steps
    if report.answered > asked:
        raise MessageError(f"{report.answered} answers, where {asked} were asked for")


def _check_losses(losses: FloatArray | float) -> None:
    if not np.all((np.asarray(losses) >= 0) & (np.asarray(losses) <= LARGEST_LOSS)):
        raise MessageError(f"a loss that is not in 0..{LARGEST_LOSS} nats")


def _check_spending(plan: Plan, spent: Spent) -> None:
    found = {
        "calls": spent.calls,
        "tokens": spent.tokens_in + spent.tokens_out,
        "money": spent.money,
    }
    for field, amount in found.items():
        cap = plan.limits.cap(field)
        if cap is not None and amount > 2 * cap:
            raise MessageError(f"{amount:,} {field} spent, of {cap:,} that it may")


def _check_shape(plan: Plan, values: FloatArray) -> None:
    wanted = (plan.positions, plan.words)
    if values.shape != wanted:
        raise MessageError(f"a policy of shape {values.shape} instead of {wanted}")


def _check_policy(plan: Plan, p: FloatArray) -> None:
    _check_shape(plan, p)
    if not on_simplex(p, 1e-6):
        raise MessageError("a policy that is not on the simplex")


def _check_fragment(plan: Plan, words: IntArray) -> None:
    if words.shape != (plan.positions,):
        raise MessageError(f"a fragment of shape {words.shape} instead of {(plan.positions,)}")
    if plan.settings.empty_fragment and (words == NO_WORD).all():
        return
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
        _check_losses(score.loss)
        if score.spread > 1:
            raise MessageError("a spread of accuracies of more than 1")
