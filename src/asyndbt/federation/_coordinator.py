"""The coordinator: all decisions of a run, without input or output.

It receives messages and the time, and assigns work to sites.  It never sleeps, sends or reads a
clock, so an engine is a thin loop around it and a checkpoint is its state.

    tuning      a server step whenever S sites have reported and no live site is overdue
    confirming  fragments are compared on the sites' validation and training data
    evaluating  every site scores the test split, once
    done

A phase without any report does not end because no site is left: the run waits until one returns.
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
from asyndbt.federation._refusals import check_join, check_report
from asyndbt.federation._selection import FragmentSelection
from asyndbt.federation._tuning import Tuning
from asyndbt.optim import IntArray, ServerState

Notice = dict[str, Any]
_MOST_TOLD = 1_000
"""Reasons for a refusal that are told in a session, so that no sender can fill the log."""


class Coordinator:
    """The decisions of a run as a state machine.

    Parameters
    ----------
    plan : Plan
    started : float
        Time at which the run begins, seconds.

    Attributes
    ----------
    phase : {"tuning", "confirming", "evaluating", "done"}
    stop_reason : str
        Why tuning ended; empty during tuning.
    evaluations : dict of str to EvaluateDone
        Final scores, by site.
    """

    def __init__(self, plan: Plan, started: float = 0.0) -> None:
        self.plan = plan
        self.phase = "tuning"
        self.stop_reason = ""
        self.roster = Roster(plan.sites, plan.lease, started)
        self.selection = FragmentSelection(plan.confirm_candidates, plan.lot)
        self.tuning = Tuning(plan, self.roster, self.selection, self._notice)
        self.evaluations: dict[str, EvaluateDone] = {}
        self.next_id = 0
        self._notices: list[Notice] = []
        self._told: set[tuple[str, str]] = set()

    # ------------------------------------------------------------------ input
    def receive(self, message: Message, now: float) -> None:
        """Process a message of a site, received at `now` in seconds.

        Late, duplicate and refused messages change nothing except the sender's record; no lease is
        renewed by them.
        """
        if isinstance(message, Join):
            self._join(message)
        elif isinstance(message, Report) and message.site in self.roster:
            self._report(message)
        self.advance(now)

    def refuse(self, site: str, why: str, now: float) -> None:
        """Record a malformed message, received at `now` in seconds, as a strike."""
        if site in self.roster:
            member = self.roster[site]
            self.roster.take_back(member)
            self._strike(member, why)
        else:
            self._refused(site, why)
        self.advance(now)

    def lose(self, site: str, why: str, now: float) -> None:
        """Record at `now`, in seconds, that a site has failed at its work: it is gone at once."""
        member = self.roster[site]
        self.roster.take_back(member)
        self.roster.lose(member)
        self._notice("gone", site=site, why=why)
        self.advance(now)

    def keep(self, site: str, now: float) -> None:
        """Renew the lease of a site that is known to be at work at `now`, in seconds."""
        member = self.roster[site]
        if not member.gone:
            self.roster.keep(member, now)

    def advance(self, now: float) -> None:
        """Advance the time to `now`, in seconds: expire leases, and decide what follows."""
        for member in self.roster.expire(now):
            self._notice("gone", site=member.name)
        if self.phase == "tuning":
            self.stop_reason = self.tuning.advance()
            if self.stop_reason:
                self._end_tuning()
        if self.phase == "confirming" and self._answered(self.selection.losses):
            self.selection.choose([m.name for m in self.roster if not m.banned])
            self._enter("evaluating")
        if self.phase == "evaluating" and self._answered(self.evaluations):
            self._enter("done")

    def reopen(self, able: Collection[str]) -> None:
        """Continue tuning with the sites whose budgets have grown.

        Work of the later phases is discarded here; the answers stored at the sites are kept.
        """
        for name in able:
            self.roster.renew(self.roster[name])
        if self.phase != "tuning":
            for member in self.roster:
                self.roster.take_back(member)
            self.phase, self.stop_reason, self.evaluations = "tuning", "", {}
            self.selection.reopen()
        self._notice("reopened", iteration=self.server.iteration)

    # ------------------------------------------------------------------ output
    def assignments(self, now: float) -> list[Assignment]:
        """Hand out new work at `now`, in seconds.

        Sites that have contributed least come first, so that sites of equal speed contribute
        equally.
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
        """Work in progress, oldest first."""
        held = [member.outstanding for member in self.roster if member.outstanding is not None]
        return sorted(held, key=lambda assignment: assignment.id)

    def unanswered(self) -> list[Assignment]:
        """Work in progress and work of sites that are gone, which a late report brings back."""
        late = [member.given_up for member in self.roster if member.given_up is not None]
        return sorted([*self.outstanding(), *late], key=lambda assignment: assignment.id)

    def deadline(self) -> float | None:
        """Time in seconds at which `advance` is due without a message before; None for never."""
        return None if self.phase == "done" else self.roster.deadline()

    def notices(self) -> list[Notice]:
        """Return the events since the last call."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def server(self) -> ServerState:
        """State of the method at the server."""
        return self.tuning.server

    @property
    def fragment(self) -> IntArray:
        """The chosen fragment (M,), as indices into the vocabulary."""
        return self.selection.best()

    # ------------------------------------------------------------------ messages
    def _join(self, message: Join) -> None:
        try:
            check_join(self.plan, self.roster, message)
        except MessageError as error:
            self._refused(message.site, str(error))
            return
        if message.site not in self.roster:
            self.roster.add(message.site)
            self.tuning.add_worker()
        member = self.roster[message.site]
        if member.banned:
            return
        if not member.live:
            self.tuning.bring_back(member)
        self.roster.join(member, (message.train, message.validation, message.test))
        self._notice("joined", site=message.site, train=message.train, test=message.test)

    def _report(self, report: Report) -> None:
        member = self.roster[report.site]
        if member.banned or not member.joined:
            return
        if report.id > self.next_id:
            self._strike(member, "it answers work that nobody was given")
            return
        if member.gone:
            self.roster.bring_back(member)
            self.tuning.bring_back(member)
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
                self.selection.record(report.site, report.losses, report.n)
            case (_, EvaluateDone()):
                self.evaluations[report.site] = report

    def _strike(self, member: Member, why: str) -> None:
        """Count a refusal, and ban the site if it has too many."""
        member.strikes += 1
        self._refused(member.name, why, strikes=member.strikes)
        if member.strikes >= self.plan.strikes and not member.banned:
            self.roster.ban(member)
            self.tuning.drop(member.name)
            self._notice("banned", site=member.name)

    def _refused(self, site: str, why: str, **data: Any) -> None:
        """Say why a message was refused: once for every site and reason, and to no end."""
        known = (site, why) in self._told
        if not known and len(self._told) < _MOST_TOLD:
            self._told.add((site, why))
            self._notice("refused", site=site, why=why, **data)

    # ------------------------------------------------------------------ phases
    def _end_tuning(self) -> None:
        finals, proposed = self.tuning.fragments()
        self.tuning.close()
        self.selection.close(finals, proposed)
        self._enter("confirming" if self.plan.positions else "evaluating")

    def _answered(self, by: dict[str, Any]) -> bool:
        """Whether all live sites, and at least one, have sent the report of this phase."""
        if self.roster.busy or not by:
            return False
        return all(member.name in by for member in self.roster.live())

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._notice("phase", phase=phase, stop_reason=self.stop_reason)

    # ------------------------------------------------------------------ work
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
            case "confirming" if member.name not in self.selection.losses:
                return Confirm(candidates=self.selection.table(self.plan.positions), **address)
            case "evaluating" if member.name not in self.evaluations:
                return Evaluate(fragment=self.fragment, **address)
        return None

    def _notice(self, kind: str, **data: Any) -> None:
        self._notices.append({"kind": kind, **data})
