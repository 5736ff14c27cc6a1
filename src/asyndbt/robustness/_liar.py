"""A site that lies: an honest site, and what is said in place of its reports.

A liar knows the messages that it receives, the honest reports of its own site, and the other
liars; of the honest sites it knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from asyndbt.federation import (
    LARGEST_LOSS,
    Assignment,
    Confirm,
    ConfirmDone,
    Join,
    LowerDone,
    LowerRound,
    Report,
    Site,
    Step,
    StepDone,
)
from asyndbt.optim import FloatArray, IntArray, read_out_distinct


@dataclass
class Ring:
    """What the liars of a run know of each other.

    Parameters
    ----------
    words : sequence of int
        The words (M,) that they want, a different one for each position of the fragment.
    steps : int
        Step messages that a site expects in a run, as follows from its budget.
    seed : int
        Seed of random lies.
    read_out : callable
        Returns the fragment (M,) that a policy (M, N) stands for, as the run's plan has it.

    Attributes
    ----------
    policies : dict of str to FloatArray
        Latest honest policy (M, N) of every liar, by site.
    """

    words: Sequence[int]
    steps: int = 30
    seed: int = 0
    read_out: Callable[[FloatArray], IntArray] = read_out_distinct
    policies: dict[str, FloatArray] = field(default_factory=dict, init=False)


class Liar:
    """A site that does its work and lies about it; this base class tells the truth.

    Its counts and costs are those of an honest site. What it remembers is in no checkpoint: it is
    for runs that are not resumed.

    Parameters
    ----------
    site : Site
        The honest site.
    ring : Ring
        Shared by all liars of a run.
    """

    name: ClassVar[str] = "honest"
    """Name of the attack."""
    aliases: ClassVar[int] = 0
    """Further names under which each liar joins; the plan has to be `open` for them."""
    flips_labels: ClassVar[bool] = False
    """Whether the site works on examples that `flip_labels` has changed."""
    wanted: Sequence[int] = ()
    """Words that it wants in the fragment."""

    def __init__(self, site: Site, ring: Ring) -> None:
        self.ring, self.steps = ring, 0
        self._site = site

    def join(self) -> Join:
        """Offer the site to the coordinator."""
        return self._site.join()

    async def handle(self, assignment: Assignment) -> Report:
        """Do the work, and report what the attack says."""
        report = await self._site.handle(assignment)
        match assignment, report:
            case Step(), StepDone():
                self.steps += 1
                self.ring.policies[report.site] = report.p
                p = self.policy(assignment, report.p)
                return replace(report, p=p, proposal=self.proposal(p, report.proposal))
            case LowerRound(), LowerDone():
                return replace(report, p=self.policy(assignment, report.p))
            case Confirm(), ConfirmDone():
                losses = self.losses(assignment.candidates, report.losses)
                return replace(report, losses=losses, n=max(report.n, 1))
        return report

    def policy(self, work: Step | LowerRound, honest: FloatArray) -> FloatArray:
        """Return the policy (M, N) to report in place of the honest one."""
        return honest

    def proposal(self, p: FloatArray, honest: IntArray) -> IntArray:
        """Return the fragment (M,) to propose in place of the honest one, beside a policy p."""
        return honest

    def losses(self, candidates: IntArray, honest: FloatArray) -> FloatArray:
        """Return the losses (C,) to report of fragments (C, M) in place of the honest ones."""
        return honest


class Voter(Liar):
    """Votes for what has most of the words wanted, and of these for what its own rows find worst.

    The vote is the loss 0 for one fragment, and the largest that is not refused for the others. The
    policy and the proposal are honest.
    """

    name = "vote"

    def losses(self, candidates: IntArray, honest: FloatArray) -> FloatArray:
        held = np.isin(candidates, self.wanted).sum(axis=1)
        losses = np.full(len(candidates), LARGEST_LOSS)
        losses[np.lexsort((honest, held))[-1]] = 0.0
        return losses
