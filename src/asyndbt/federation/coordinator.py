"""The coordinator: all decisions of a run, and no input or output.

It is told what came in and what time it is, and says whom to give which work. It never sleeps,
sends or looks at a clock, so an engine is a thin loop around it and a checkpoint is its state.

    tuning      a server step whenever S sites have answered and no live site is overdue
    confirming  candidate fragments are compared on the sites' validation data
    evaluating  every site scores the test split, once
    done
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from asyndbt.errors import MessageError
from asyndbt.federation.candidates import Candidates
from asyndbt.federation.messages import (
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
    Step,
    StepDone,
)
from asyndbt.federation.plan import Plan
from asyndbt.federation.refresh import Refresh
from asyndbt.federation.roster import Member, Roster
from asyndbt.optim import (
    FloatArray,
    IntArray,
    ServerState,
    on_simplex,
    pull_on_workers,
    read_out,
    row_entropies,
    server_step,
)

__all__ = ["Coordinator", "Notice"]

Notice = dict[str, Any]
_CONVERGED = 0.02


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
        self.server = ServerState.initial(len(plan.sites), plan.positions, plan.words)
        self.pending: dict[str, StepDone] = {}
        self.reports: dict[str, StepDone] = {}
        self.refresh: Refresh | None = None
        self.candidates = Candidates(plan.confirm_candidates)
        self.evaluations: dict[str, EvaluateDone] = {}
        self.next_id = 0
        self._notices: list[Notice] = []

    # ------------------------------------------------------------------ what engines call
    def receive(self, message: Message, now: float) -> None:
        """Take in one message from a site.

        Late, doubled, malformed and refused messages change nothing but the sender's record.
        """
        if isinstance(message, Join):
            self._join(message, now)
        elif isinstance(message, Report) and message.site in self.roster:
            self._report(message, now)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Let the clock run to `now`: leases may end, and with them what the server waits for."""
        for member in self.roster.expire(now):
            self._notice("gone", site=member.name)
        if self.phase == "tuning":
            self._advance_tuning()
        if self.phase == "confirming":
            self._advance_confirming()
        if self.phase == "evaluating":
            self._advance_evaluating()

    def assignments(self, now: float) -> list[Assignment]:
        """Work for every site that should have some now; it counts as handed out.

        Who has contributed least comes first, so that sites of equal speed contribute equally.
        """
        if self.phase == "tuning" and self.roster.awaited():
            return []
        free = sorted((m for m in self.roster if m.free), key=lambda m: (m.used, m.index))
        work = [(member, self._work_for(member)) for member in free]
        given = []
        for member, assignment in work:
            if assignment is not None:
                self.roster.hand_out(member, assignment, now)
                given.append(assignment)
        return given

    def outstanding(self) -> list[Assignment]:
        """Work handed out and not answered, oldest first."""
        held = [member.outstanding for member in self.roster if member.outstanding is not None]
        return sorted(held, key=lambda assignment: assignment.id)

    def unanswered(self) -> list[Assignment]:
        """What a resumed engine sends again: also the work of sites given up since.

        Their late answers are what brings such sites back.
        """
        late = [member.given_up for member in self.roster if member.given_up is not None]
        return sorted([*self.outstanding(), *late], key=lambda assignment: assignment.id)

    def deadline(self) -> float | None:
        """Time at which `advance` should be called if nothing comes in before; None for never."""
        return None if self.phase == "done" else self.roster.deadline()

    def notices(self) -> list[Notice]:
        """What happened since the last call, for logs and progress displays."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def fragment(self) -> IntArray:
        """The chosen fragment (M,), as indices into the vocabulary."""
        return self.candidates.best()

    # ------------------------------------------------------------------ messages in
    def _join(self, message: Join, now: float) -> None:
        plan = self.plan
        if message.agreement != plan.agreement:
            self._notice("refused", site=message.site, why="settings differ from the coordinator's")
            return
        if message.site not in self.roster:
            self.roster.add(message.site)
            self.server = self.server.with_worker()
        member = self.roster[message.site]
        if member.gone or not member.joined:
            member.used_at = self.server.iteration
        self.roster.take_back(member)
        member.joined, member.gone, member.heard = True, False, now
        self._notice("joined", site=message.site, train=message.train, test=message.test)

    def _report(self, report: Report, now: float) -> None:
        member = self.roster[report.site]
        member.heard = now
        if member.gone:
            member.gone = False
            member.used_at = self.server.iteration
            self._notice("back", site=member.name)
        if member.outstanding is None or member.outstanding.id != report.id:
            return
        asked = self.roster.take_back(member)
        assert asked is not None
        try:
            self._accept(asked, report)
            member.spent = report.spent
        except MessageError as error:
            member.strikes += 1
            member.exhausted |= member.strikes >= self.plan.strikes
            self._notice("refused", site=member.name, why=str(error), strikes=member.strikes)

    def _accept(self, asked: Assignment, report: Report) -> None:
        match asked, report:
            case Step(), StepDone():
                self._check_policy(report.p)
                self.pending[report.site] = report
            case LowerRound(), LowerDone():
                self._check_policy(report.p)
                index = self.roster[report.site].index
                if self.refresh is not None and self.refresh.waits_for(index):
                    self.refresh.answered[index] = report.p
            case Confirm(), ConfirmDone():
                if report.losses.shape != (len(asked.candidates),):
                    raise MessageError(f"{report.losses.shape} losses for {len(asked.candidates)}")
                self.candidates.record(report.site, report.losses, report.n)
            case Evaluate(), EvaluateDone():
                self.evaluations[report.site] = report
            case _:
                raise MessageError(f"{type(asked).__name__} answered by {type(report).__name__}")

    def _check_policy(self, p: FloatArray) -> None:
        wanted = (self.plan.positions, self.plan.words)
        if p.shape != wanted:
            raise MessageError(f"a policy of shape {p.shape} instead of {wanted}")
        if not on_simplex(p, 1e-6):
            raise MessageError("a policy that is not on the simplex")

    # ------------------------------------------------------------------ tuning
    def _participants(self) -> list[Member]:
        return [m for m in self.roster.live() if not m.exhausted or m.name in self.pending]

    def _advance_tuning(self) -> None:
        if self.refresh is not None and not self._advance_refresh():
            return
        if len(self.pending) < self.plan.quorum and self.roster.busy:
            return
        if self.roster.awaited():
            return
        participants = self._participants()
        if not participants:
            self._stop("budget" if any(m.joined for m in self.roster) else "no site joined")
            return
        overdue = [
            m
            for m in participants
            if m.name not in self.pending
            and self.server.iteration - m.used_at >= self.plan.staleness
        ]
        if len(self.pending) >= min(self.plan.quorum, len(participants)) and not overdue:
            self._server_step()
            if self.phase == "tuning" and not self._participants():
                # Nobody is left whose report could bring the next call.
                self._advance_tuning()

    def _server_step(self) -> None:
        plan, active = self.plan, [m for m in self.roster if m.name in self.pending]
        rows = np.array([m.index for m in active])
        policies = np.stack([self.pending[m.name].p for m in active])
        if plan.consensus:
            state = self.server.with_live(np.array([m.live for m in self.roster]))
            self.server = server_step(state, rows, policies, plan.settings)
        else:
            self.server = _without_consensus(self.server, rows, policies)
        for member in active:
            member.used += 1
            member.used_at = self.server.iteration
            member.exhausted |= self.pending[member.name].exhausted
        self.reports |= self.pending
        self.pending = {}
        if plan.positions:
            self.candidates.note(read_out(self.server.z))
        self._notice_step([m.name for m in active])
        if self.server.iteration >= plan.iterations:
            self._stop("iterations")
        elif self._converged():
            self._stop("converged")
        elif self._refresh_due():
            barrier = plan.refresh == "barrier"
            asked = self._participants() if barrier else active
            self.refresh = Refresh.begin(self.server, [m.index for m in asked])

    def _refresh_due(self) -> bool:
        settings, t = self.plan.settings, self.server.iteration
        return bool(
            self.plan.consensus
            and self.plan.positions
            and settings.refresh_every
            and t % settings.refresh_every == 0
            and t <= settings.refresh_until
        )

    def _advance_refresh(self) -> bool:
        """Finish as many rounds as the answers allow; True when no estimate is under way."""
        refresh = self.refresh
        assert refresh is not None
        asked = [m for m in self._participants() if m.index in refresh.asked]
        need = len(asked)
        if self.plan.refresh == "free":
            need = min(self.plan.quorum, need)
        if len(refresh.answered) < need:
            return False
        if asked and not refresh.finish_round(self.plan.settings):
            return False
        if asked:
            self.server, violation = refresh.cut(self.server, self.plan.settings)
            self._notice("refresh", violation=violation, planes=len(self.server.planes))
        self.refresh = None
        return True

    def _converged(self) -> bool:
        """Whether every policy has settled, so that further draws would only repeat themselves."""
        live = self.roster.live()
        if any(m.name not in self.reports for m in live):
            return False
        spread = [self.reports[m.name].entropy_q for m in live]
        spread += row_entropies(self.server.z).tolist()
        return max(spread, default=0.0) < _CONVERGED

    def _stop(self, reason: str) -> None:
        self.stop_reason, self.refresh, self.pending = reason, None, {}
        self.phase = "confirming" if self.plan.positions else "evaluating"
        self.candidates.close([read_out(p) for p in self._fragment_sources()])
        self._notice("phase", phase=self.phase, stop_reason=reason)

    def _fragment_sources(self) -> list[FloatArray]:
        """Policies whose read-outs deserve a comparison: z, the mean of the sites', each site's."""
        rows = [m.index for m in self.roster if m.joined]
        each = self.server.p_all[rows]
        return [self.server.z, *([each.mean(axis=0)] if rows else []), *each[:8]]

    # ------------------------------------------------------------------ confirming, evaluating
    def _advance_confirming(self) -> None:
        live = self.roster.live()
        if all(m.name in self.candidates.losses for m in live):
            self.candidates.choose([m.name for m in self.roster])
            self.phase = "evaluating"
            self._notice("phase", phase=self.phase, stop_reason=self.stop_reason)

    def _advance_evaluating(self) -> None:
        if all(m.name in self.evaluations for m in self.roster.live()):
            self.phase = "done"
            self._notice("phase", phase=self.phase, stop_reason=self.stop_reason)

    # ------------------------------------------------------------------ work out
    def _work_for(self, member: Member) -> Assignment | None:
        match self.phase:
            case "tuning":
                return self._tuning_work(member)
            case "confirming" if member.name not in self.candidates.losses:
                table = self.candidates.table(self.plan.positions)
                return Confirm(candidates=table, **self._address(member))
            case "evaluating" if member.name not in self.evaluations:
                return Evaluate(fragment=self.fragment, **self._address(member))
        return None

    def _tuning_work(self, member: Member) -> Assignment | None:
        index, refresh = member.index, self.refresh
        if refresh is not None and index in refresh.asked:
            if not refresh.waits_for(index):
                return None
            return LowerRound(
                point=refresh.p_all[index],
                z=refresh.z,
                rho=refresh.rho[index],
                **self._address(member),
            )
        held = refresh is not None and self.plan.refresh == "barrier"
        if held or member.exhausted or member.name in self.pending:
            return None
        pull = pull_on_workers(self.server.planes, np.array([index]))[0]
        return Step(
            z=self.server.z,
            pull=pull + self.server.theta[index],
            local_steps=self.plan.local_steps,
            **self._address(member),
        )

    def _address(self, member: Member) -> dict[str, Any]:
        self.next_id += 1
        return {"site": member.name, "id": self.next_id, "iteration": self.server.iteration}

    # ------------------------------------------------------------------ notices
    def _notice(self, kind: str, **data: Any) -> None:
        self._notices.append({"kind": kind, **data})

    def _notice_step(self, active: list[str]) -> None:
        server, latest = self.server, self.reports
        rows = [self.roster[name].index for name in active]
        distance = np.abs(server.p_all[rows] - server.z).sum(axis=(1, 2))
        self._notice(
            "step",
            iteration=server.iteration,
            active=active,
            staleness={m.name: server.iteration - m.used_at for m in self.roster.live()},
            gone=[m.name for m in self.roster if m.gone],
            loss={name: report.loss for name, report in latest.items()},
            validation={
                name: {"accuracy": r.validation.correct / r.validation.n, "n": r.validation.n}
                for name, r in latest.items()
                if r.validation.n
            },
            entropy_p=float(row_entropies(server.z).mean()) if self.plan.positions else 0.0,
            entropy_q={name: report.entropy_q for name, report in latest.items()},
            calls={m.name: m.spent.calls for m in self.roster},
            planes=len(server.planes),
            consensus_distance=float(distance.mean()),
        )


def _without_consensus(state: ServerState, rows: IntArray, policies: FloatArray) -> ServerState:
    """Take in policies where none are to be agreed on: z follows the sites' mean."""
    state.p_all[rows] = policies
    return replace(state, z=state.p_all.mean(axis=0), iteration=state.iteration + 1)
