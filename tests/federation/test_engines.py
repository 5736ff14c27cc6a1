from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.clocks import VirtualLoop

from asyndbt.errors import AsyndbtError, ModelError
from asyndbt.federation import Coordinator, Plan, Worker, restore, snapshot
from asyndbt.federation._messages import StepDone
from asyndbt.federation.engines._local import LocalEngine
from asyndbt.federation.engines._virtual import Delays
from asyndbt.optim import ServerState, Settings, Shape, preset, server_step
from asyndbt.scoring import Spent
from asyndbt.testing import TabularObjective, TabularProblem

GENTLE = preset(
    "plain",
    batch_size=4,
    ridge=1.0,
    window=200,
    eta_p=0.3,
    eta_q=0.3,
    eta_z=0.2,
    eta_theta=0.5,
    theta_clip=3.0,
)
SLOW = Delays(kind="lognormal", mean=1.0, sigma=0.6, slow={"site-2": 10.0})


def test_quorum_of_all_is_the_synchronous_run_bit_for_bit(run_tabular: Callable[..., Any]) -> None:
    """Whatever the delays, waiting for everybody gives the plain loop without any engine."""
    settings = preset("plain", refresh_every=0, batch_size=4)
    run = run_tabular(settings=settings, delays=SLOW, iterations=12, limit=None, staleness=99)
    plain = _plain_loop(run.sites, settings, 12)
    assert np.array_equal(run.coordinator.server.z, plain.z)
    assert np.array_equal(run.coordinator.server.p_all, plain.p_all)
    assert np.array_equal(run.coordinator.server.theta, plain.theta)


def _plain_loop(sites: Any, settings: Settings, steps: int) -> ServerState:
    from asyndbt.federation._messages import Step
    from asyndbt.testing import TabularObjective

    problem = TabularProblem(Shape(2, 4, 2, 3), workers=3, seed=1)
    workers = [
        Worker(name, site.plan, TabularObjective(problem, index), 0)
        for index, (name, site) in enumerate(sites.items())
    ]
    state = ServerState.initial(3, 2, 4)
    for t in range(steps):
        reports = []
        for index, worker in enumerate(workers):
            work = Step(
                site=worker.site,
                id=t * 3 + index + 1,
                iteration=t,
                z=state.z,
                pull=state.theta[index].copy(),
                local_steps=1,
            )
            reports.append(asyncio.run(worker.handle(work)).p)  # type: ignore[attr-defined]
        state = server_step(state, np.arange(3), np.stack(reports), settings)
    return state


def test_a_virtual_run_is_repeatable_and_depends_on_its_delays(
    run_tabular: Callable[..., Any],
) -> None:
    first = run_tabular(delays=SLOW, quorum=2, iterations=15)
    again = run_tabular(delays=SLOW, quorum=2, iterations=15)
    other = run_tabular(delays=Delays(kind="pareto"), quorum=2, iterations=15)
    assert first.coordinator.server.z.tobytes() == again.coordinator.server.z.tobytes()
    assert first.now == again.now
    assert first.notices == again.notices
    assert first.coordinator.server.z.tobytes() != other.coordinator.server.z.tobytes()


def test_a_slow_site_does_not_hold_up_a_quorum(run_tabular: Callable[..., Any]) -> None:
    """For the same number of server steps the slow site sets the pace of the synchronous run."""
    settings = preset("plain", batch_size=4, eta_p=0.05, eta_q=0.05, window=100)
    asynchronous, synchronous = (
        run_tabular(
            delays=SLOW,
            settings=settings,
            quorum=quorum,
            iterations=40,
            limit=None,
            staleness=1_000,
        )
        for quorum in (2, 3)
    )
    for run in (asynchronous, synchronous):
        assert run.kinds().count("step") == 40
    assert asynchronous.now < synchronous.now / 3


def test_a_site_that_dies_and_returns_neither_stops_nor_spoils_a_run(
    run_tabular: Callable[..., Any],
) -> None:
    delays = Delays(kind="constant", dead={"site-1": 20.0}, rejoin={"site-1": 60.0})
    run = run_tabular(
        delays=delays, settings=GENTLE, quorum=2, lease=10.0, iterations=150, limit=None
    )
    kinds = run.kinds()
    assert kinds.count("gone") == 1
    assert kinds.index("gone") < len(kinds) - 1 - kinds[::-1].index("joined"), "it came back"
    assert run.coordinator.phase == "done"
    assert set(run.coordinator.evaluations) == set(run.sites)
    assert run.gap <= 0.01


def test_a_site_that_dies_for_good_is_left_behind(run_tabular: Callable[..., Any]) -> None:
    delays = Delays(kind="constant", dead={"site-1": 20.0})
    run = run_tabular(delays=delays, quorum=3, lease=10.0)
    assert run.coordinator.phase == "done"
    assert set(run.coordinator.evaluations) == {"site-0", "site-2"}


def test_the_local_engine_has_sites_waiting_side_by_side(run_tabular: Callable[..., Any]) -> None:
    waiting, most = 0, 0
    original = Worker.handle

    async def slow(self: Worker, assignment: Any) -> Any:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(1.0)
        report = await original(self, assignment)
        waiting -= 1
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "handle", slow)
        run = run_tabular(quorum=2, limit=200)
    assert most == 3
    assert run.coordinator.phase == "done"


ENGINES = [None, Delays(kind="constant")]


def failing(names: set[str], error: Exception, after: int = 0) -> Callable[..., Any]:
    """What `Worker.handle` is to be for these sites to fail over their work."""
    original = Worker.handle

    async def handle(self: Worker, assignment: Any) -> Any:
        if self.site in names and assignment.id > after:
            raise error
        return await original(self, assignment)

    return handle


@pytest.mark.parametrize("delays", ENGINES)
def test_a_failing_site_is_gone_and_the_others_go_on(
    run_tabular: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, delays: Any
) -> None:
    error = RuntimeError("a private text")
    monkeypatch.setattr(Worker, "handle", failing({"site-1"}, error, after=10))
    run = run_tabular(quorum=3, limit=300, delays=delays)
    assert run.coordinator.phase == "done"
    assert set(run.coordinator.evaluations) == {"site-0", "site-2"}
    gone = [notice for notice in run.notices if notice["kind"] == "gone"]
    assert gone == [{"kind": "gone", "site": "site-1", "why": "RuntimeError"}]


@pytest.mark.parametrize("delays", ENGINES)
def test_when_every_site_fails_the_run_ends_with_the_error(
    run_tabular: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, delays: Any
) -> None:
    everybody = {"site-0", "site-1", "site-2"}
    monkeypatch.setattr(Worker, "handle", failing(everybody, RuntimeError("the disk is full")))
    with pytest.raises(RuntimeError, match="the disk is full"):
        run_tabular(limit=300, delays=delays)


@pytest.mark.parametrize("delays", ENGINES)
def test_a_model_that_nobody_can_use_ends_the_run(
    run_tabular: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, delays: Any
) -> None:
    error = ModelError("the key is not valid", provider="openai", status=401)
    monkeypatch.setattr(Worker, "handle", failing({"site-1"}, error))
    with pytest.raises(ModelError, match="the key is not valid"):
        run_tabular(limit=300, delays=delays)


@pytest.mark.parametrize("delays", ENGINES)
@pytest.mark.parametrize(
    "change",
    [
        {"spent": Spent(calls=10**400)},
        {"p": np.full((2, 4), np.nan)},
        {"p": np.full((400, 400), 1 / 400)},
        {"loss": float("nan")},
        {"site": "site-0"},
    ],
)
def test_a_site_that_sends_no_messages_is_left_out(
    run_tabular: Callable[..., Any], delays: Any, change: dict[str, Any]
) -> None:
    def lie(report: Any) -> dict[str, Any]:
        return change if isinstance(report, StepDone) else {}

    run = run_tabular(quorum=3, limit=200, delays=delays, reports={"site-1": lie})
    assert run.coordinator.phase == "done"
    assert run.coordinator.roster["site-1"].banned
    assert run.coordinator.roster["site-0"].strikes == 0
    assert set(run.coordinator.evaluations) == {"site-0", "site-2"}


def test_a_site_at_work_or_with_its_report_delivered_keeps_its_place(
    run_tabular: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work of one site blocks the loop past the lease of all, or just takes longer than it."""
    original, overdue = Worker.handle, set()

    async def slow(self: Worker, assignment: Any) -> Any:
        loop = VirtualLoop.running()
        begun = loop.time()
        if self.site == "site-0" and assignment.id % 5 == 0:
            loop.advance(12.0)
        if self.site == "site-1" and assignment.id % 5 == 0:
            await asyncio.sleep(12.0)
        if loop.time() > begun + 10.0:
            overdue.add(self.site)
        return await original(self, assignment)

    monkeypatch.setattr(Worker, "handle", slow)
    run = run_tabular(quorum=3, limit=60, lease=10.0)
    assert overdue == {"site-0", "site-1"}
    assert "gone" not in run.kinds()
    assert set(run.coordinator.evaluations) == set(run.sites)


def test_sites_that_were_gone_are_back_after_a_local_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = TabularProblem(Shape(2, 4, 2, 3), workers=2, seed=1)
    plan = Plan(sites=("a", "b"), positions=2, words=4, quorum=2)
    sites = {
        name: Worker(name, plan, TabularObjective(problem, index, 300), 0)
        for index, name in enumerate(plan.sites)
    }
    coordinator = Coordinator(plan)
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "handle", failing({"a", "b"}, OSError("no disk"), after=4))
        with pytest.raises(OSError, match="no disk"):
            asyncio.run(LocalEngine(coordinator, sites).run(lambda now: None))
    coordinator, _ = restore(plan, snapshot(coordinator))
    assert coordinator.roster.live() == []
    asyncio.run(LocalEngine(coordinator, sites).run(lambda now: None))
    assert set(coordinator.evaluations) == {"a", "b"}


@pytest.mark.parametrize("turns", range(8))
def test_a_run_that_is_stopped_as_a_report_comes_in_is_stopped(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """However many turns of the event loop are between the two."""
    plan = Plan(sites=("a", "b"), positions=2, words=4, quorum=2)
    problem, original = TabularProblem(Shape(2, 4, 2, 3), workers=2, seed=1), Worker.handle
    sites = {
        name: Worker(name, plan, TabularObjective(problem, index, 300), 0)
        for index, name in enumerate(plan.sites)
    }

    async def stopped() -> None:
        run = asyncio.create_task(LocalEngine(Coordinator(plan), sites).run(lambda now: None))

        def stop(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(stop, left - 1)
            else:
                run.cancel()

        async def handle(worker: Worker, assignment: Any) -> Any:
            await asyncio.sleep(assignment.id)
            if assignment.id == 7:
                stop(turns)
            return await original(worker, assignment)

        monkeypatch.setattr(Worker, "handle", handle)
        await run

    runner = asyncio.Runner(loop_factory=VirtualLoop)
    with runner, pytest.raises(asyncio.CancelledError):
        runner.run(stopped())


def test_a_run_that_nobody_joins_says_so(
    run_tabular: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Worker.join

    def join(self: Worker) -> Any:
        return replace(original(self), agreement="another")

    monkeypatch.setattr(Worker, "join", join)
    with pytest.raises(AsyndbtError, match="all sites are gone"):
        run_tabular(lease=10.0)
