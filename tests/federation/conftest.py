"""Small problems with a known optimum, run whole; and sites by hand, for a coordinator alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from tests.clocks import VirtualLoop

from asyndbt.federation import Coordinator, Plan, Worker
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
)
from asyndbt.federation.engines._base import Channel, Engine
from asyndbt.federation.engines._local import LocalEngine
from asyndbt.federation.engines._virtual import Delays, VirtualEngine
from asyndbt.optim import Settings, Shape, preset
from asyndbt.scoring import Score, Spent
from asyndbt.testing import TabularObjective, TabularProblem

M, N = 2, 4
NAMES = ("a", "b", "c")
QUIET = preset("plain", refresh_every=0)


@dataclass
class Finished:
    """What a test looks at after a run."""

    coordinator: Coordinator
    sites: dict[str, Worker]
    problem: TabularProblem
    notices: list[dict[str, Any]] = field(default_factory=list)
    now: float = 0.0

    @property
    def gap(self) -> float:
        """Distance of the read-out from the enumerated optimum, as a share of the loss range."""
        shape, total = self.problem.shape, 0.0
        fragment = np.eye(shape.words)[self.coordinator.fragment]
        for index, site in enumerate(self.sites.values()):
            shown = np.eye(shape.candidates)[site.demonstrations]
            total += self.problem.expected_loss(index, fragment, shown)
        return (total - self.problem.optimum().loss) / self.problem.loss_range()

    def kinds(self) -> list[str]:
        return [notice["kind"] for notice in self.notices]


RunTabular = Callable[..., Finished]


@pytest.fixture
def run_tabular() -> RunTabular:
    """Run a small problem, whose optimum is known, through coordinator, workers and an engine.

    Time is virtual with either engine.
    """

    def run(
        problem: TabularProblem | None = None,
        *,
        settings: Settings | None = None,
        delays: Delays | None = None,
        limit: int | None = 2_000,
        seed: int = 0,
        channel: Channel | None = None,
        reports: Mapping[str, Callable[[Any], Any]] | None = None,
        **plan: Any,
    ) -> Finished:
        problem = problem or TabularProblem(Shape(2, 4, 2, 3), workers=3, seed=1)
        names = tuple(f"site-{index}" for index in range(problem.workers))
        plan.setdefault("quorum", len(names))
        agreed = Plan(
            sites=names,
            positions=problem.shape.positions,
            words=problem.shape.words,
            settings=settings or preset("plain", batch_size=problem.queries),
            **plan,
        )
        sites = {
            name: Worker(name, agreed, TabularObjective(problem, index, limit), seed)
            for index, name in enumerate(names)
        }
        for name, change in (reports or {}).items():
            _lie(sites[name], change)
        coordinator = Coordinator(agreed)
        finished = Finished(coordinator, sites, problem)

        def changed(now: float) -> None:
            finished.notices += coordinator.notices()
            finished.now = now

        engine: Engine = LocalEngine(coordinator, sites, channel)
        if delays is not None:
            engine = VirtualEngine(coordinator, sites, delays, channel, seed=seed)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(engine.run(changed))
        return finished

    return run


def _lie(worker: Worker, change: Callable[[Any], Any]) -> None:
    honest = worker.handle

    async def handle(assignment: Any) -> Any:
        report = await honest(assignment)
        return replace(report, **change(report))

    worker.handle = handle  # type: ignore[method-assign]


# ------------------------------------------------------------------ sites by hand
def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {"sites": NAMES, "quorum": 2, "settings": QUIET, "lease": 100.0}
    return Plan(**{"positions": M, "words": N, **values, **changes})


def started(agreed: Plan) -> Coordinator:
    """Return a coordinator whom every expected site has joined."""
    coordinator = Coordinator(agreed)
    for name in agreed.sites:
        coordinator.receive(join(agreed, name), 0.0)
    return coordinator


def join(agreed: Plan, name: str) -> Join:
    return Join(
        site=name,
        positions=agreed.positions,
        words=agreed.words,
        agreement=agreed.agreement,
        train=9,
        validation=4,
        test=4,
    )


def policy(seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(N), size=M)


def answer(work: Assignment, *, exhausted: bool = False, p: Any = None) -> Report:
    """Return what a site might report of its work."""
    base: dict[str, Any] = {"site": work.site, "id": work.id, "spent": Spent(calls=work.id)}
    p = policy(work.id) if p is None else p
    match work:
        case Step():
            return StepDone(
                p=p,
                proposal=np.argmax(p, axis=1) if p.ndim == 2 and p.size else np.zeros(0, np.int64),
                loss=0.5,
                answered=9,
                entropy_q=1.0,
                entropy_q_max=1.0,
                exhausted=exhausted,
                validation=Score(),
                **base,
            )
        case LowerRound():
            return LowerDone(p=p, **base)
        case Confirm():
            losses = np.linspace(1.0, 0.0, len(work.candidates))
            return ConfirmDone(losses=losses, n=4, **base)
        case Evaluate():
            scores = {"plain": Score(1, 4), "random_icl": Score(2, 4), "tuned": Score(3, 4)}
            return EvaluateDone(validation=Score(), kept_own=False, **scores, **base)
    raise AssertionError(work)


def by_site(assignments: list[Assignment]) -> dict[str, Assignment]:
    return {assignment.site: assignment for assignment in assignments}
