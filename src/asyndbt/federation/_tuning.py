"""The tuning phase: when the server steps, which sites estimate the lower level, when tuning ends.

The server steps as soon as a quorum of S sites has reported, unless a live site would then have
been silent for tau steps; every report received by then is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.federation._early_stopping import EarlyStopping
from asyndbt.federation._lower_level import LowerLevelEstimate
from asyndbt.federation._membership import Member, Roster
from asyndbt.federation._messages import Assignment, LowerDone, LowerRound, Step, StepDone
from asyndbt.federation._metrics import StepMetrics, step_event
from asyndbt.federation._plan import Plan
from asyndbt.federation._selection import FragmentSelection
from asyndbt.optim import (
    Effects,
    FloatArray,
    IntArray,
    ServerState,
    make_estimator,
    pooled_effects,
    pull_on_workers,
    row_entropies,
    server_step,
)

_CONVERGED = 0.02
_IDLE_STEPS = 100
_IDLE_SHARE = 0.01
_LONGER = 2
"""How many times the steps of the others a site may take when fewer than a quorum are left."""


class Tuning:
    """State of the method during tuning.

    Parameters
    ----------
    plan : Plan
    roster : Roster
        Sites of the run; their progress is recorded there.
    selection : FragmentSelection
        Counts the read-outs of the consensus.
    notify : callable
        Receives events: a kind, and data by name.

    Attributes
    ----------
    server : ServerState
    pending : dict of str to StepDone
        Reports that no server step has used yet, by site.
    latest : dict of str to StepMetrics
        Metrics of the last step used, by site.
    proposals : dict of str to IntArray
        The fragment (M,) that a site would choose by itself, by site.
    effects : dict of str to Effects
        What a site's answers say of words, as of the last step used, by site; if exchanged.
    estimate : LowerLevelEstimate or None
        The estimate of the lower level in progress.
    """

    def __init__(
        self, plan: Plan, roster: Roster, selection: FragmentSelection, notify: Callable[..., None]
    ) -> None:
        self._plan, self._roster, self._selection, self._notify = plan, roster, selection, notify
        self.server = ServerState.initial(len(plan.sites), plan.positions, plan.words)
        self.pending: dict[str, StepDone] = {}
        self.latest: dict[str, StepMetrics] = {}
        self.proposals: dict[str, IntArray] = {}
        self.effects: dict[str, Effects] = {}
        self._word_prior = make_estimator(plan.settings).word_prior
        self.estimate: LowerLevelEstimate | None = None
        self._stopping = EarlyStopping(plan.patience)
        self._requests = 0
        # Of each of the latest server steps: new requests, and answers that its reports needed.
        self._asked: deque[tuple[int, int]] = deque(maxlen=_IDLE_STEPS)

    # ------------------------------------------------------------------ input
    def add_worker(self) -> None:
        """Add a site; an estimate in progress, which lacks its row, is discarded."""
        self.server, self.estimate = self.server.with_worker(), None

    def bring_back(self, member: Member) -> None:
        """Let a site that was not live go on from z: what it thought before has no say.

        A report that no server step has used yet stays, since z is as it was when it came.
        """
        member.used_at = self.server.iteration
        self.server = self.server.with_return(member.index)
        if self.estimate is not None:
            self.estimate.leave_out(member.index)

    def drop(self, name: str) -> None:
        """Discard a site's report that no server step has used."""
        self.pending.pop(name, None)

    def take_step(self, report: StepDone) -> None:
        """Keep a report for the next server step."""
        self.pending[report.site] = report

    def take_lower(self, asked: LowerRound, report: LowerDone) -> None:
        """Pass a report to the estimate in progress."""
        if self.estimate is not None:
            self.estimate.take(self._roster[report.site].index, asked.iteration, report.p)

    # ------------------------------------------------------------------ decisions
    def advance(self) -> str:
        """Take the steps that the reports received allow.

        Returns
        -------
        str
            Why tuning has ended; empty while it goes on.
        """
        if self.estimate is not None:
            self._advance_estimate()
        if self._barrier or self._roster.awaited():
            return ""
        quorum = len(self.pending) >= self._plan.quorum
        if not quorum and self._roster.busy:
            return ""
        participants = self._participants()
        # With no work in progress, fewer reports than the quorum may be all there will be.
        complete = quorum or len(self.pending) >= len(participants)
        if participants and complete and not self._overdue(participants):
            active = self._server_step()
            self._end_stragglers()
            if reason := self._end():
                return reason
            self._begin_estimate(active)
        return "budget" if self._roster.live() and not self._participants() else ""

    def close(self) -> None:
        """End tuning: discard unused reports and the estimate in progress."""
        self.estimate, self.pending = None, {}

    def fragments(self) -> tuple[list[IntArray], dict[str, IntArray]]:
        """Return the fragments (M,) of z and of the reports' mean, and what each site proposes."""
        members = [m for m in self._roster if m.joined and not m.banned]
        rows = [m.index for m in members if self.server.reported[m.index]]
        policies = [self.server.z]
        if rows:
            policies.append(self.server.p_all[rows].mean(axis=0))
        names = {m.name for m in members}
        proposed = {name: words for name, words in self.proposals.items() if name in names}
        return [self._plan.fragment(policy) for policy in policies], proposed

    def work_for(self, member: Member, address: dict[str, Any]) -> Assignment | None:
        """Return the next work of a free site, if any; `address` has the fields of all work."""
        index, estimate = member.index, self.estimate
        if estimate is not None and estimate.waits_for(index):
            point, rho = estimate.p_all[index], estimate.rho[index]
            return LowerRound(point=point, z=estimate.z, rho=rho, **address)
        if self._barrier or member.exhausted or member.name in self.pending:
            return None
        pull = pull_on_workers(self.server.planes, np.array([index]))[0] + self.server.theta[index]
        others = self._told_by_others(member.name)
        return Step(
            z=self.server.z,
            pull=pull,
            local_steps=self._plan.local_steps,
            effects=others.mean,
            precisions=others.precision,
            **address,
        )

    def _told_by_others(self, name: str) -> Effects:
        """Return what the live sites other than `name` that have reported say of words."""
        reported = {
            m.name: self.effects[m.name]
            for m in self._roster
            if m.live and self.server.reported[m.index] and m.name in self.effects
        }
        if len(reported) < 2:
            return Effects.none()
        receiver = list(reported).index(name) if name in reported else None
        return pooled_effects(list(reported.values()), receiver, self._word_prior)

    # ------------------------------------------------------------------ server steps
    def _participants(self) -> list[Member]:
        """Live sites that have reported or can still take a step."""
        return [m for m in self._roster.live() if not m.exhausted or m.name in self.pending]

    def _live(self) -> NDArray[np.bool_]:
        return np.array([m.live for m in self._roster], dtype=np.bool_)

    def _overdue(self, participants: list[Member]) -> bool:
        """Whether a site without a report would, after this server step, be silent for tau."""
        oldest = self.server.iteration + 1 - self._plan.staleness
        return any(m.used_at <= oldest and m.name not in self.pending for m in participants)

    def _server_step(self) -> list[Member]:
        """Step with all pending reports, and return their sites."""
        plan, active = self._plan, [m for m in self._roster if m.name in self.pending]
        rows = np.array([m.index for m in active])
        policies = np.stack([self.pending[m.name].p for m in active])
        state = self.server.with_live(self._live())
        if plan.consensus:
            self.server = server_step(state, rows, policies, plan.settings)
        else:
            self.server = _without_consensus(state, rows, policies)
        for member in active:
            report = self.pending[member.name]
            member.used += 1
            member.used_at = self.server.iteration
            member.exhausted |= report.exhausted
            if plan.privacy is None:
                self.latest[member.name] = StepMetrics.of(report)
            self.proposals[member.name] = report.proposal
            if plan.effects:
                self.effects[member.name] = Effects(report.effects, report.precisions)
            self._stopping.note(member.name, report.validation)
        self.pending = {}
        if plan.positions:
            self._selection.note(plan.fragment(self.server.z))
        self._count_requests(len(active))
        names = [m.name for m in active]
        self._notify("step", **step_event(self.server, self._roster, self.latest, names))
        return active

    def _end_stragglers(self) -> None:
        """End the tuning of sites that go on long after the others have spent their budgets.

        Sites have equal budgets, so one that never says that its own is spent keeps all waiting.
        """
        tuning = self._participants()
        most = max((m.used for m in self._roster.live() if m.exhausted), default=0)
        if len(tuning) >= self._plan.quorum or not most:
            return
        for member in tuning:
            if member.used >= _LONGER * most:
                member.exhausted = True
                why = f"its tuning ends after {member.used} steps, where others had {most}"
                self._notify("refused", site=member.name, why=why)

    def _count_requests(self, reports: int) -> None:
        """Count the requests since the last server step, beside what the reports stand for."""
        requests = sum(m.spent.calls + m.spent.failed for m in self._roster)
        settings = self._plan.settings
        needed = reports * self._plan.local_steps * settings.draws * settings.batch_size
        self._asked.append((requests - self._requests, needed))
        self._requests = requests

    def _idle(self) -> bool:
        """Whether nearly all answers of the latest steps were known before they were asked for.

        What counts as needed does not hang on what sites say of themselves, so that no site can end
        a run.
        """
        new, needed = (sum(counts) for counts in zip(*self._asked, strict=True))
        return len(self._asked) == _IDLE_STEPS and new <= _IDLE_SHARE * needed

    def _end(self) -> str:
        """Return why tuning ends after a server step, or an empty string."""
        if self.server.iteration >= self._plan.iterations:
            return "iterations"
        if self._converged():
            return "converged"
        if self._stopping.due(m.name for m in self._participants()):
            return "early stopping"
        # Private reports do not say what was asked.
        idle = self._plan.privacy is None and self._idle()
        return "nothing new to ask" if idle else ""

    def _converged(self) -> bool:
        """Whether all policies are nearly one-hot, so that further draws would be repeats."""
        live = self._roster.live()
        if any(m.name not in self.latest for m in live):
            return False
        entropies = [self.latest[m.name].entropy_q_max for m in live]
        entropies += row_entropies(self.server.z).tolist()
        return max(entropies, default=0.0) < _CONVERGED

    # ------------------------------------------------------------------ lower level
    @property
    def _barrier(self) -> bool:
        """Whether an estimate in progress stops all sites."""
        return self.estimate is not None and self._plan.refresh == "barrier"

    def _begin_estimate(self, active: list[Member]) -> None:
        settings, t = self._plan.settings, self.server.iteration
        due = (
            self._plan.consensus
            and self._plan.positions
            and settings.refresh_every
            and t % settings.refresh_every == 0
            and t <= settings.refresh_until
        )
        if due and self.estimate is None:
            asked = self._participants() if self._plan.refresh == "barrier" else active
            self.estimate = LowerLevelEstimate.begin(self.server, [m.index for m in asked])

    def _advance_estimate(self) -> None:
        """Finish the round if enough sites have reported, and the estimate with the last round."""
        estimate, settings = self.estimate, self._plan.settings
        assert estimate is not None
        asked = [m for m in self._participants() if m.index in estimate.asked]
        needed = len(asked)
        if self._plan.refresh == "free":
            needed = min(self._plan.quorum, needed)
        if len(estimate.answered) < needed:
            return
        if asked and not estimate.finish_round(self._live(), settings):
            return
        if asked:
            self.server, violation = estimate.cut(self.server, self._live(), settings)
            self._notify("refresh", violation=violation, planes=len(self.server.planes))
        self.estimate = None

    # ------------------------------------------------------------------ checkpoints
    def state(self) -> dict[str, Any]:
        """Return what is neither public nor an array, as JSON."""
        latest = {name: metrics.state() for name, metrics in self.latest.items()}
        proposals = {name: words.tolist() for name, words in self.proposals.items()}
        effects = {
            name: [told.mean.tolist(), told.precision.tolist()]
            for name, told in self.effects.items()
        }
        return {
            "latest": latest,
            "proposals": proposals,
            "effects": effects,
            "asked_for": self._requests,
            "asked": list(self._asked),
            "looks": self._stopping.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self._requests = state["asked_for"]
        self._asked.extend((new, needed) for new, needed in state["asked"])
        self._stopping.restore(state["looks"])
        self.latest = {name: StepMetrics.restore(entry) for name, entry in state["latest"].items()}
        self.proposals = {
            name: np.array(words, dtype=np.int64) for name, words in state["proposals"].items()
        }
        self.effects = {name: Effects(*np.array(told)) for name, told in state["effects"].items()}


def _without_consensus(state: ServerState, rows: IntArray, policies: FloatArray) -> ServerState:
    """Server step of methods without consensus: z is the mean of the sites' reported policies."""
    state.p_all[rows] = policies
    state.reported[rows] = True
    counted = state.counted
    z = state.p_all[counted].mean(axis=0) if counted.any() else state.z
    return replace(state, z=z, iteration=state.iteration + 1)
