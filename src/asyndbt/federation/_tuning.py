"""The tuning of a run: when the server steps, whom a refresh asks, and when it is enough.

A server step comes as soon as S sites have answered and no live site has been silent for tau
steps; whatever came in meanwhile is used. Everything that follows from a step is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.federation._lower_level import LowerLevelEstimate
from asyndbt.federation._membership import Member, Roster
from asyndbt.federation._messages import Assignment, LowerDone, LowerRound, Step, StepDone
from asyndbt.federation._metrics import StepMetrics, step_event
from asyndbt.federation._plan import Plan
from asyndbt.federation._selection import FragmentSelection
from asyndbt.optim import (
    FloatArray,
    IntArray,
    ServerState,
    pull_on_workers,
    row_entropies,
    server_step,
)

_CONVERGED = 0.02
_IDLE_STEPS = 100


class Tuning:
    """The state of the method and of what it waits for.

    Parameters
    ----------
    plan : Plan
    roster : Roster
        The sites of the run; how far each has come is noted there.
    candidates : Candidates
        Is told the consensus's read-outs.
    tell : callable
        Is told what happens: a kind, and data by name.
    """

    def __init__(
        self, plan: Plan, roster: Roster, candidates: FragmentSelection, tell: Callable[..., None]
    ) -> None:
        self._plan, self._roster, self._candidates, self._tell = plan, roster, candidates, tell
        self.server = ServerState.initial(len(plan.sites), plan.positions, plan.words)
        self.pending: dict[str, StepDone] = {}
        self.latest: dict[str, StepMetrics] = {}
        self.refresh: LowerLevelEstimate | None = None
        self._asked_for = 0
        self._idle = 0

    # ------------------------------------------------------------------ what comes in
    def add_worker(self) -> None:
        """Take in one more site; an estimate under way does not know it, and is dropped."""
        self.server, self.refresh = self.server.with_worker(), None

    def drop(self, name: str) -> None:
        """Forget what a site has sent and no server step has used."""
        self.pending.pop(name, None)

    def take_step(self, report: StepDone) -> None:
        """Keep a site's step for the next server step."""
        self.pending[report.site] = report

    def take_lower(self, asked: LowerRound, report: LowerDone) -> None:
        """Keep a site's answer for the estimate under way."""
        if self.refresh is not None:
            self.refresh.take(self._roster[report.site].index, asked.iteration, report.p)

    # ------------------------------------------------------------------ what follows
    def advance(self) -> str:
        """Do what the answers at hand allow; return why tuning is over, "" to go on."""
        if self.refresh is not None:
            self._advance_refresh()
        if self._barred or self._roster.awaited():
            return ""
        if len(self.pending) < self._plan.quorum and self._roster.busy:
            return ""
        if self._ready():
            active = self._server_step()
            if reason := self._enough():
                return reason
            self._begin_refresh(active)
        # Live sites of which none could bring the next call.
        return "budget" if self._roster.live() and not self._participants() else ""

    def close(self) -> None:
        """Give up what is under way: tuning is over."""
        self.refresh, self.pending = None, {}

    def sources(self) -> tuple[list[FloatArray], list[FloatArray]]:
        """Policies to read candidates out of: z and the sites' mean, and each site's own."""
        rows = [m.index for m in self._roster if m.joined and not m.banned]
        each = self.server.p_all[rows]
        return [self.server.z, *([each.mean(axis=0)] if rows else [])], list(each)

    def work_for(self, member: Member, address: dict[str, Any]) -> Assignment | None:
        """Return the work that a free site gets, if any; `address` is what all work holds."""
        index, refresh = member.index, self.refresh
        if refresh is not None and refresh.waits_for(index):
            point, rho = refresh.p_all[index], refresh.rho[index]
            return LowerRound(point=point, z=refresh.z, rho=rho, **address)
        if self._barred or member.exhausted or member.name in self.pending:
            return None
        pull = pull_on_workers(self.server.planes, np.array([index]))[0] + self.server.theta[index]
        return Step(z=self.server.z, pull=pull, local_steps=self._plan.local_steps, **address)

    # ------------------------------------------------------------------ server steps
    def _participants(self) -> list[Member]:
        return [m for m in self._roster.live() if not m.exhausted or m.name in self.pending]

    def _live(self) -> NDArray[np.bool_]:
        return np.array([m.live for m in self._roster], dtype=np.bool_)

    def _ready(self) -> bool:
        """Whether the quorum is there, and nobody overdue is missing."""
        participants = self._participants()
        if not participants or len(self.pending) < min(self._plan.quorum, len(participants)):
            return False
        oldest = self.server.iteration - self._plan.staleness
        return not any(m.used_at <= oldest and m.name not in self.pending for m in participants)

    def _server_step(self) -> list[Member]:
        """Use everything that has come in; return whose reports those were."""
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
            self.latest[member.name] = StepMetrics.of(report)
        self.pending = {}
        if plan.positions:
            self._candidates.note(plan.fragment(self.server.z))
        self._count_idle()
        names = [m.name for m in active]
        self._tell("step", **step_event(self.server, self._roster, self.latest, names))
        return active

    def _count_idle(self) -> None:
        """Count server steps for which no model was asked: all answers were there already."""
        asked = sum(m.spent.calls + m.spent.failed for m in self._roster)
        self._idle = 0 if asked > self._asked_for else self._idle + 1
        self._asked_for = asked

    def _enough(self) -> str:
        if self.server.iteration >= self._plan.iterations:
            return "iterations"
        if self._converged():
            return "converged"
        return "nothing new to ask" if self._idle >= _IDLE_STEPS else ""

    def _converged(self) -> bool:
        """Whether every policy has settled, so that further draws would only repeat themselves."""
        live = self._roster.live()
        if any(m.name not in self.latest for m in live):
            return False
        spread = [self.latest[m.name].entropy_q_max for m in live]
        spread += row_entropies(self.server.z).tolist()
        return max(spread, default=0.0) < _CONVERGED

    # ------------------------------------------------------------------ refreshes
    @property
    def _barred(self) -> bool:
        """Whether an estimate under way stops every site."""
        return self.refresh is not None and self._plan.refresh == "barrier"

    def _begin_refresh(self, active: list[Member]) -> None:
        settings, t = self._plan.settings, self.server.iteration
        due = (
            self._plan.consensus
            and self._plan.positions
            and settings.refresh_every
            and t % settings.refresh_every == 0
            and t <= settings.refresh_until
        )
        if due and self.refresh is None:
            asked = self._participants() if self._plan.refresh == "barrier" else active
            self.refresh = LowerLevelEstimate.begin(self.server, [m.index for m in asked])

    def _advance_refresh(self) -> None:
        """Finish a round, and with the last one the estimate, if the answers allow it."""
        refresh, settings = self.refresh, self._plan.settings
        assert refresh is not None
        asked = [m for m in self._participants() if m.index in refresh.asked]
        need = len(asked)
        if self._plan.refresh == "free":
            need = min(self._plan.quorum, need)
        if len(refresh.answered) < need:
            return
        if asked and not refresh.finish_round(self._live(), settings):
            return
        if asked:
            self.server, violation = refresh.cut(self.server, self._live(), settings)
            self._tell("refresh", violation=violation, planes=len(self.server.planes))
        self.refresh = None

    # ------------------------------------------------------------------ checkpoints
    def state(self) -> dict[str, Any]:
        """Return the small figures, as JSON; the rest is public."""
        latest = {name: figures.state() for name, figures in self.latest.items()}
        return {"latest": latest, "asked_for": self._asked_for, "idle": self._idle}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` wrote."""
        self._asked_for, self._idle = state["asked_for"], state["idle"]
        self.latest = {name: StepMetrics.restore(entry) for name, entry in state["latest"].items()}


def _without_consensus(state: ServerState, rows: IntArray, policies: FloatArray) -> ServerState:
    """Take in policies where none are to be agreed on: z follows the sites' mean."""
    state.p_all[rows] = policies
    mean = state.p_all[state.live].mean(axis=0)
    return replace(state, z=mean, iteration=state.iteration + 1)
