"""The worker: one site's side of the protocol.

A worker receives assignments and returns reports; engines carry them.  The fragment policy p of its
learner goes to the coordinator; the demonstration policy q, the draws and the data stay here.  Its
state includes the last report, so that an assignment repeated after a crash on either side is
answered again and not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from random import Random, SystemRandom
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import BudgetError
from asyndbt.federation._final_choice import (
    Prompt,
    affordable_options,
    choose_prompt,
    shrunk_means,
)
from asyndbt.federation._learner import Learner
from asyndbt.federation._messages import (
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
    decode,
    encode,
)
from asyndbt.federation._plan import Plan
from asyndbt.federation._private_reports import PrivateReports
from asyndbt.federation._refusals import check_work
from asyndbt.federation._rounding import rounded
from asyndbt.federation._state import pack_state, unpack_state
from asyndbt.lm import LOG_FLOOR, LabelPrior
from asyndbt.optim import Effects, FloatArray, IntArray, row_entropies
from asyndbt.scoring import Objective, Score

_OTHER_OPTIONS = 4
"""One in so many of the prompts compared at the end has the fragment that is not held already: the
site's own, or the shared one where noise has made it."""


class Worker:
    """One site's part of the method.

    Parameters
    ----------
    site : str
    plan : Plan
    objective : Objective
    seed : int
        Seed of the learner's draws.
    noise : callable, optional
        Returns the source of noise for the private report of a number; the system's randomness
        without it.

    Attributes
    ----------
    private : PrivateReports or None
        What is sent in place of the reports, if they are private.
    evaluation : EvaluateDone or None
        The scores of the final evaluation, which do not leave the site if its reports are private.
    prior : LabelPrior or None
        What the answers of the final evaluation were calibrated with, if they were.
    """

    def __init__(
        self,
        site: str,
        plan: Plan,
        objective: Objective,
        seed: int,
        noise: Callable[[int], Random] = lambda number: SystemRandom(),
    ) -> None:
        self.site, self.plan, self.objective = site, plan, objective
        self.learner = Learner(site, plan, objective, seed)
        self._chosen: Prompt | None = None
        self.prior: LabelPrior | None = None
        self._report: Report | None = None
        self.private = None if plan.privacy is None else PrivateReports(plan.privacy, plan, noise)
        self.evaluation: EvaluateDone | None = None

    def join(self) -> Join:
        """Offer the site to the coordinator."""
        train, validation, test = (0, 0, 0) if self.private else self.objective.counts
        return Join(
            site=self.site,
            positions=self.plan.positions,
            words=self.plan.words,
            agreement=self.plan.agreement,
            train=train,
            validation=validation,
            test=test,
        )

    async def handle(self, assignment: Assignment) -> Report:
        """Do the work, or return the last report again if it answers this assignment.

        Raises
        ------
        MessageError
            If it is work that no honest coordinator hands out: see `check_work`.
        """
        if self._report is None or self._report.id != assignment.id:
            check_work(self.plan, assignment)
            report = rounded(await self._work(assignment))
            if isinstance(report, EvaluateDone):
                self.evaluation = report
            self._report = self.private.of(assignment, report) if self.private else report
        return self._report

    @property
    def answered(self) -> int:
        """Number of the last work that was done, -1 before any."""
        return -1 if self._report is None else self._report.id

    @property
    def demonstrations(self) -> IntArray:
        """Candidate of every slot (U,): as chosen at the end, before that the read-out of q."""
        return Plan.demonstrations(self.learner.q) if self._chosen is None else self._chosen[1]

    def fragment(self, shared: IntArray) -> IntArray:
        """Return the fragment (M,) in use here: `shared`, unless the site has kept its own."""
        return shared if self._chosen is None else self._chosen[0]

    # ------------------------------------------------------------------ work
    async def _work(self, assignment: Assignment) -> Report:
        match assignment:
            case Step():
                return await self._step(assignment)
            case LowerRound():
                return await self._lower(assignment)
            case Confirm():
                return await self._confirm(assignment)
            case Evaluate():
                return await self._evaluate(assignment)
        raise TypeError(f"no worker does {type(assignment).__name__}")

    async def _step(self, work: Step) -> StepDone:
        learner, before = self.learner, self.learner.steps
        answered: list[float] = []
        exhausted = False
        exchanged = self.plan.effects and work.effects.size
        others = Effects(work.effects, work.precisions) if exchanged else None
        for number in range(work.local_steps):
            exhausted = exhausted or not learner.affords_step
            if exhausted:
                break
            try:
                answered += await learner.step(work.z, work.pull, first=not number, others=others)
            except BudgetError:
                exhausted = True
        validation = Score()
        if self._validation_due(before):
            validation = await self.objective.validate(
                self.plan.fragment(work.z if self.plan.consensus else learner.p),
                Plan.demonstrations(learner.q),
            )
        entropies = row_entropies(learner.q)
        effects = learner.effects
        return StepDone(
            site=self.site,
            id=work.id,
            spent=self.objective.spent(),
            p=learner.p,
            proposal=learner.proposal,
            loss=float(np.clip(np.mean(answered), 0.0, -LOG_FLOOR)) if answered else 0.0,
            answered=len(answered),
            entropy_q=float(entropies.mean()) if entropies.size else 0.0,
            entropy_q_max=float(entropies.max(initial=0.0)),
            exhausted=exhausted or not learner.affords_step,
            validation=validation,
            effects=effects.mean,
            precisions=effects.precision,
        )

    async def _lower(self, work: LowerRound) -> LowerDone:
        p = await self.learner.lower_step(work.point, work.z, work.rho, work.id)
        return LowerDone(site=self.site, id=work.id, spent=self.objective.spent(), p=p)

    async def _confirm(self, work: Confirm) -> ConfirmDone:
        """Compare fragments, with half of the looks that are left."""
        chosen, objective = Plan.demonstrations(self.learner.q), self.objective
        rows = objective.looks_left // (2 * len(work.candidates))
        prompts = [(words, chosen) for words in work.candidates]
        losses = await objective.compare(prompts, 0, max(1, min(rows, objective.comparable)))
        answered = np.isfinite(losses).any(axis=1)
        complete = np.isfinite(losses[answered]).all(axis=0) & answered.any()
        losses = losses[:, complete]
        return ConfirmDone(
            site=self.site,
            id=work.id,
            spent=objective.spent(),
            losses=_reported(losses, self.learner.expected_losses(prompts)),
            n=losses.shape[1],
        )

    async def _evaluate(self, work: Evaluate) -> EvaluateDone:
        """Choose the prompt on validation and training data, then score the test split once.

        The shared fragment is given up only for an own one that is surely better. Where noise hides
        what the sites agree on it is the other way round.
        """
        objective, held, other = self.objective, work.fragment, self.learner.proposal
        if self.plan.hides_consensus:
            held, other = other, held
        count = affordable_options(objective.looks_left)
        few = count // _OTHER_OPTIONS if not np.array_equal(held, other) else 0
        mine, others = (
            [(words, d) for d in self.learner.likeliest_demonstrations(words, number)]
            for words, number in ((held, count - few), (other, few))
        )
        self._chosen = words, demonstrations = await choose_prompt(
            objective, mine, others, self.learner.expected_losses
        )
        validation = await objective.validate(words, demonstrations)
        result = await objective.test(words, demonstrations, self.learner.rng("test", 0))
        self.prior = result.prior
        return EvaluateDone(
            site=self.site,
            id=work.id,
            spent=self.objective.spent(),
            plain=result.plain,
            random_icl=result.random_icl,
            tuned=result.tuned,
            validation=validation,
            kept_own=not np.array_equal(words, work.fragment),
        )

    def _validation_due(self, before: int) -> bool:
        """Whether a validation is due after the steps since `before`; `most` at most are."""
        every, most = self.plan.validate_every, self.plan.validations
        return bool(every) and before // every < min(self.learner.steps // every, most)

    # ------------------------------------------------------------------ checkpoints
    def state(self) -> bytes:
        """Return everything that is needed to continue exactly here."""
        arrays, private = self.learner.arrays(), {}
        if self._report is not None:
            arrays["answered"] = _as_array(self._report)
        if self._chosen is not None:
            arrays["settled_words"], arrays["settled"] = self._chosen
        if self.private:
            private["noisy_reports"] = self.private.spent
            if self.evaluation is not None:
                arrays["evaluation"] = _as_array(self.evaluation)
        prior = {} if self.prior is None else {"prior": asdict(self.prior)}
        fields = {
            "answered": self.answered,
            "steps": self.learner.steps,
            "objective": self.objective.state(),
        }
        return pack_state(fields | prior | private, arrays)

    def restore(self, data: bytes) -> None:
        """Restore what `state` returned; raise RunDirectoryError if another version wrote it."""
        fields, arrays = unpack_state(data)
        self.learner.restore(fields["steps"], arrays)
        self.objective.restore(fields["objective"])
        if "settled" in arrays:
            self._chosen = arrays["settled_words"], arrays["settled"]
        if "prior" in fields:
            self.prior = LabelPrior.from_dict(fields["prior"])
        self._report = _report_in(arrays)
        if self.private:
            self.private.spent = max(self.private.spent, fields["noisy_reports"])
        evaluation = _report_in(arrays, "evaluation" if self.private else "answered")
        self.evaluation = evaluation if isinstance(evaluation, EvaluateDone) else None

    def reopen(self) -> None:
        """Return to tuning after an evaluation."""
        self._chosen = self.prior = self.evaluation = None
        self.objective.reopen()


def report_in(state: bytes) -> Report:
    """Return the report on the last work before a state."""
    report = _report_in(unpack_state(state)[1])
    assert report is not None
    return report


def _as_array(report: Report) -> NDArray[np.int8]:
    return np.frombuffer(encode(report), dtype=np.int8)


def _report_in(arrays: Mapping[str, NDArray[Any]], name: str = "answered") -> Report | None:
    if name not in arrays:
        return None
    report = decode(arrays[name].tobytes())
    assert isinstance(report, Report)
    return report


def _reported(losses: FloatArray, expected: FloatArray | None) -> FloatArray:
    """Return the mean losses (C,) that a site reports: not negative, zero without any answer.

    A fragment with which the model answers nothing is as bad as can be.
    """
    if not losses.size:
        return np.zeros(len(losses))
    return np.clip(shrunk_means(losses, expected), 0.0, -LOG_FLOOR)
