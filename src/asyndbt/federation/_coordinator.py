"""The coordinator: all decisions of a run, and no input or output.

It is told what came in and what time it is, and says whom to give which work. It never sleeps,
sends or looks at a clock, so an engine is a thin loop around it and a checkpoint is its state.

    tuning      a server step whenever S sites have answered and no live site is overdue
    confirming  candidate fragments are compared on the sites' validation data
    evaluating  every site scores the test split, once
    done

A phase in which no site has answered is not over because no site is left: the run waits, and may
be taken up again when one is back.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from asyndbt.errors import MessageError
from asyndbt.federation._membership import Member, Roster
from asyndbt.federation._messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    Join,
    LowerDone,
    LowerRound,
    Message,
    Report,
    StepDone,
)
from asyndbt.federation._plan import Plan
from asyndbt.federation._selection import FragmentSelection
from asyndbt.federation._tuning import Tuning
from asyndbt.federation._validation import check_join, check_report
from asyndbt.optim import IntArray, ServerState

Notice = dict[str, Any]


class Coordinator:
    """A run's decisions as a state machine.

    Parameters
    ----------
    plan : Plan
    started : float
        Time at which the run begins, seconds.
    """

    def __init__(self, plan: Plan, started: float = 0.0) -> None:
        self.plan = plan
        self.phase = "tuning"
        self.stop_reason = ""
        self.roster = Roster(plan.sites, plan.lease, started)
        self.candidates = FragmentSelection(plan.confirm_candidates)
        self.tuning = Tuning(plan, self.roster, self.candidates, self._notice)
        self.evaluations: dict[str, EvaluateDone] = {}
        self.next_id = 0
        self._notices: list[Notice] = []

    # ------------------------------------------------------------------ what engines tell
    def receive(self, message: Message, now: float) -> None:
        """Take in one message from a site.

        Late, doubled and refused messages change nothing but the sender's record.
        """
        if isinstance(message, Join):
            self._join(message, now)
        elif isinstance(message, Report) and message.site in self.roster:
            self._report(message, now)
        self.advance(now)

    def refuse(self, site: str, why: str, now: float) -> None:
        """Count it against a site that what came from it is no message."""
        if site in self.roster:
            member = self.roster[site]
            self.roster.take_back(member)
            self._strike(member, why)
        else:
            self._notice("refused", site=site, why=why)
        self.advance(now)

    def lose(self, site: str, why: str, now: float) -> None:
        """Take note that a site has failed over its work: it is gone at once."""
        member = self.roster[site]
        self.roster.take_back(member)
        self.roster.lose(member)
        self._notice("gone", site=site, why=why)
        self.advance(now)

    def keep(self, site: str, now: float) -> None:
        """Take note that a site is known to be at work still: its lease begins anew."""
        member = self.roster[site]
        if not member.gone:
            self.roster.hear(member, now)

    def advance(self, now: float) -> None:
        """Let the clock run to `now`: leases may end, and with them what the server waits for."""
        for member in self.roster.expire(now):
            self._notice("gone", site=member.name)
        if self.phase == "tuning":
            self.stop_reason = self.tuning.advance()
            if self.stop_reason:
                self._end_tuning()
        if self.phase == "confirming" and self._answered(self.candidates.losses):
            self.candidates.choose([m.name for m in self.roster if not m.banned])
            self._enter("evaluating")
        if self.phase == "evaluating" and self._answered(self.evaluations):
            self._enter("done")

    def reopen(self, able: Collection[str]) -> None:
        """Let sites tune further whose budget has grown; go back to tuning if it was over.

        What was asked for the end alone is forgotten here; the sites' answers are not.
        """
        for name in able:
            self.roster.refresh(self.roster[name])
        if self.phase != "tuning":
            for member in self.roster:
                self.roster.take_back(member)
            self.phase, self.stop_reason, self.evaluations = "tuning", "", {}
            self.candidates.reopen()
        self._notice("reopened", iteration=self.server.iteration)

    # ------------------------------------------------------------------ what engines ask
    def assignments(self, now: float) -> list[Assignment]:
        """Work for every site that should have some now; it counts as handed out.

        Who has contributed least comes first, so that sites of equal speed contribute equally.
        """
        if self.phase == "tuning" and self.roster.awaited():
            return []
        given = []
        for member in sorted(self.roster.free(), key=lambda m: (m.used, m.index)):
            assignment = self._work_for(member)
            if assignment is not None:
                self.next_id = assignment.id
                self.roster.hand_out(member, assignment, now)
                given.append(assignment)
        return given

    def outstanding(self) -> list[Assignment]:
        """Work handed out and not answered, oldest first."""
        held = [member.outstanding for member in self.roster if member.outstanding is not None]
        return sorted(held, key=lambda assignment: assignment.id)

    def unanswered(self) -> list[Assignment]:
        """The same, and the work of sites given up over it: a late answer brings one back."""
        late = [member.given_up for member in self.roster if member.given_up is not None]
        return sorted([*self.outstanding(), *late], key=lambda assignment: assignment.id)

    def deadline(self) -> float | None:
        """Time for `advance` if nothing comes in before; None for never."""
        return None if self.phase == "done" else self.roster.deadline()

    def notices(self) -> list[Notice]:
        """What happened since the last call, for logs and progress displays."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def server(self) -> ServerState:
        """What the server knows of the method."""
        return self.tuning.server

    @property
    def fragment(self) -> IntArray:
        """The chosen fragment (M,), as indices into the vocabulary."""
        return self.candidates.best()

    # ------------------------------------------------------------------ messages in
    def _join(self, message: Join, now: float) -> None:
        try:
            check_join(self.plan, self.roster, message)
        except MessageError as error:
            self._notice("refused", site=message.site, why=str(error))
            return
        if message.site not in self.roster:
            self.roster.add(message.site)
            self.tuning.add_worker()
        member = self.roster[message.site]
        if member.banned:
            return
        if not member.live:
            member.used_at = self.server.iteration
        self.roster.join(member, (message.train, message.validation, message.test), now)
        self._notice("joined", site=message.site, train=message.train, test=message.test)

    def _report(self, report: Report, now: float) -> None:
        member = self.roster[report.site]
        if member.banned or not member.joined:
            return
        if self.roster.hear(member, now):
            member.used_at = self.server.iteration
            self._notice("back", site=member.name)
        asked = member.outstanding
        if asked is None or asked.id != report.id:
            return
        self.roster.take_back(member)
        try:
            check_report(self.plan, member, asked, report)
        except MessageError as error:
            self._strike(member, str(error))
            return
        member.spent = report.spent
        self._use(asked, report)

    def _use(self, asked: Assignment, report: Report) -> None:
        match asked, report:
            case (_, StepDone()):
                self.tuning.take_step(report)
            case (LowerRound(), LowerDone()):
                self.tuning.take_lower(asked, report)
            case (_, ConfirmDone()):
                self.candidates.record(report.site, report.losses, report.n)
            case (_, EvaluateDone()):
                self.evaluations[report.site] = report

    def _strike(self, member: Member, why: str) -> None:
        """Count a refusal; too many, and the site has no part in the run any more."""
        member.strikes += 1
        self._notice("refused", site=member.name, why=why, strikes=member.strikes)
        if member.strikes >= self.plan.strikes and not member.banned:
            self.roster.ban(member)
            self.tuning.drop(member.name)
            self._notice("banned", site=member.name)

    # ------------------------------------------------------------------ phases
    def _end_tuning(self) -> None:
        finals, own = (
            [self.plan.fragment(p) for p in policies] for policies in self.tuning.sources()
        )
        self.tuning.close()
        self.candidates.close(finals, own)
        self._enter("confirming" if self.plan.positions else "evaluating")

    def _answered(self, by: dict[str, Any]) -> bool:
        """Whether all live sites, one at least, have given the answer that this phase asks for."""
        if self.roster.busy or not by:
            return False
        return all(member.name in by for member in self.roster.live())

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._notice("phase", phase=phase, stop_reason=self.stop_reason)

    # ------------------------------------------------------------------ work out
    def _work_for(self, member: Member) -> Assignment | None:
        iteration = self.server.iteration
        address: dict[str, Any] = {
            "site": member.name,
            "id": self.next_id + 1,
            "iteration": iteration,
        }
        match self.phase:
            case "tuning":
                return self.tuning.work_for(member, address)
            case "confirming" if member.name not in self.candidates.losses:
                return Confirm(candidates=self.candidates.table(self.plan.positions), **address)
            case "evaluating" if member.name not in self.evaluations:
                return Evaluate(fragment=self.fragment, **address)
        return None

    def _notice(self, kind: str, **data: Any) -> None:
        self._notices.append({"kind": kind, **data})
