"""What sites tell each other of words: nothing, or their own beliefs, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.federation.conftest import N, answer, by_site, plan, started

from asyndbt.federation import Coordinator, Plan, Worker, encode, restore, snapshot
from asyndbt.federation._messages import Step, StepDone, byte_bound, decode
from asyndbt.optim import FloatArray, Settings, Shape, preset
from asyndbt.testing import TabularObjective, TabularProblem

EFFECTS = preset("plain", refresh_every=0, exchange="effects")
PRIOR = 1.0  # of the preset


def told(work: Step, mean: float, precision: float = 5.0) -> StepDone:
    """Return a site's report with the same belief about every word."""
    report = answer(work)
    assert isinstance(report, StepDone)
    return replace(report, effects=np.full(N, mean), precisions=np.full(N, precision))


def steps(coordinator: Coordinator, now: float) -> dict[str, Step]:
    work = by_site(coordinator.assignments(now))
    return {name: step for name, step in work.items() if isinstance(step, Step)}


def after_one_step(coordinator: Coordinator, **means: float) -> dict[str, Step]:
    """Let these sites report; return the work that they get then."""
    work = steps(coordinator, 0.0)
    for name, mean in means.items():
        coordinator.receive(told(work[name], mean), 1.0)
    return steps(coordinator, 1.0)


def test_with_policies_alone_the_fields_are_empty(run_tabular: Callable[..., Any]) -> None:
    coordinator = started(plan())
    first = steps(coordinator, 0.0)
    for name in ("a", "b"):
        coordinator.receive(answer(first[name]), 1.0)
    for step in [*first.values(), *steps(coordinator, 1.0).values()]:
        assert step.effects.shape == step.precisions.shape == (0,)


def test_a_site_is_told_what_the_others_say_and_not_what_it_said_itself() -> None:
    coordinator = started(plan(settings=EFFECTS, quorum=3))
    work = after_one_step(coordinator, a=0.1, b=0.1, c=0.1)
    for step in work.values():
        assert step.precisions == pytest.approx(np.full(N, PRIOR + 2 * 4.0))
        assert step.effects == pytest.approx(np.full(N, 2 * 5.0 * 0.1 / 9.0))
    alone = after_one_step(started(plan(settings=EFFECTS, quorum=1)), a=0.1)
    assert alone["a"].effects.size == 0, "nobody else has reported"


def test_who_is_gone_and_who_has_not_reported_say_nothing() -> None:
    coordinator = started(plan(settings=EFFECTS, quorum=2))
    work = after_one_step(coordinator, a=0.1, b=0.1)
    assert work["a"].precisions == pytest.approx(np.full(N, PRIOR + 4.0)), "of b alone"
    for name in ("b", "c"):
        coordinator.lose(name, "unreachable", 2.0)
    coordinator.receive(told(work["a"], 0.1), 3.0)
    assert steps(coordinator, 3.0)["a"].effects.size == 0


@pytest.mark.parametrize(
    "lie",
    [
        {"effects": np.zeros(N + 1)},
        {"precisions": np.zeros(0)},
        {"effects": np.full(N, 2.0**60)},
        {"effects": np.zeros((1, N))},
    ],
)
def test_what_no_honest_site_could_have_sent_is_refused(lie: dict[str, FloatArray]) -> None:
    coordinator = started(plan(settings=EFFECTS, quorum=1))
    work = steps(coordinator, 0.0)
    coordinator.receive(replace(told(work["a"], 0.1), **lie), 1.0)
    assert coordinator.server.iteration == 0


def test_effects_are_refused_where_policies_are_agreed() -> None:
    coordinator = started(plan(quorum=1))
    coordinator.receive(told(steps(coordinator, 0.0)["a"], 0.1), 1.0)
    assert coordinator.server.iteration == 0


def test_what_was_told_survives_a_restart() -> None:
    agreed = plan(settings=EFFECTS, quorum=2)
    coordinator = started(agreed)
    after_one_step(coordinator, a=0.1, b=0.3)
    resumed, _ = restore(agreed, snapshot(coordinator))
    for each in (coordinator, resumed):
        for work in each.outstanding()[:2]:
            assert isinstance(work, Step)
            each.receive(told(work, 0.2), 2.0)
    sent = [encode(work) for work in coordinator.assignments(2.0)]
    assert sent
    assert sent == [encode(work) for work in resumed.assignments(2.0)]


@pytest.mark.parametrize("kind", [Step, StepDone])
def test_messages_with_effects_come_back_within_their_bound(kind: type) -> None:
    coordinator = started(plan(settings=EFFECTS, quorum=3))
    step = after_one_step(coordinator, a=0.1, b=0.2, c=0.3)["a"]
    message = step if kind is Step else told(step, 0.4)
    data = encode(message)
    assert len(data) <= byte_bound(kind, 2, N)
    received = decode(data)
    assert isinstance(received, Step | StepDone)
    assert np.array_equal(received.effects, message.effects)
    assert np.array_equal(received.precisions, message.precisions)


def north(settings: Settings) -> Worker:
    problem = TabularProblem(Shape(2, 4, 2, 3), workers=1, seed=2)
    agreed = Plan(sites=("north",), positions=2, words=4, settings=settings)
    return Worker("north", agreed, TabularObjective(problem, 0), seed=0)


def test_others_move_p_and_neither_q_nor_the_policy_apart() -> None:
    site, twin = (north(EFFECTS.replace(own_draws=1, step="projection")) for _ in range(2))
    z = np.full((2, 4), 0.25)
    step = Step(site="north", id=1, iteration=0, z=z, pull=np.zeros((2, 4)), local_steps=1)
    informed = replace(
        step, effects=np.array([-5.0, 0.0, 0.0, 0.0]), precisions=np.array([50.0, 1.0, 1.0, 1.0])
    )
    plain, moved = asyncio.run(site.handle(step)), asyncio.run(twin.handle(informed))
    assert isinstance(plain, StepDone)
    assert isinstance(moved, StepDone)
    assert (moved.p[:, 0] > plain.p[:, 0]).all()
    assert np.array_equal(site.learner.q, twin.learner.q)
    assert np.array_equal(site.learner.own, twin.learner.own)
    assert np.array_equal(moved.effects, plain.effects), "its report is of its own answers"
    assert np.array_equal(moved.precisions, plain.precisions)


def test_a_site_takes_no_effects_where_policies_are_agreed() -> None:
    site, twin = (north(preset("plain", refresh_every=0)) for _ in range(2))
    z = np.full((2, 4), 0.25)
    step = Step(site="north", id=1, iteration=0, z=z, pull=np.zeros((2, 4)), local_steps=1)
    told = replace(step, effects=np.full(4, -5.0), precisions=np.full(4, 50.0))
    plain, same = asyncio.run(site.handle(step)), asyncio.run(twin.handle(told))
    assert encode(plain) == encode(same)


@pytest.mark.parametrize(
    "changes", [{"estimator": "reinforce"}, {"shared_words": 0.0}], ids=lambda c: next(iter(c))
)
def test_effects_need_an_estimator_of_them(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs an estimator of them"):
        EFFECTS.replace(**changes)


def test_sites_with_few_answers_are_nearer_to_what_is_best_for_all(
    run_tabular: Callable[..., Any],
) -> None:
    """Six sites with 30 noisy answers each to 20 words; the distance is that of their policies."""
    few = preset("default", batch_size=1, eta_p=3.0, eta_q=3.0, refresh_every=0)

    def distance(seed: int, exchange: str) -> float:
        problem = TabularProblem(
            Shape(1, 20, 1, 4), workers=6, seed=seed, agreement=0.9, noise=2.0, interaction=0.0
        )
        run = run_tabular(problem, settings=few.replace(exchange=exchange), limit=30)
        best = problem.optimum()
        shown = np.eye(4)[best.demonstrations]
        total = sum(
            problem.expected_loss(index, site.learner.p, shown[index])
            for index, site in enumerate(run.sites.values())
        )
        return (total - best.loss) / problem.loss_range()

    gains = [distance(seed, "policies") - distance(seed, "effects") for seed in range(6)]
    assert np.mean(gains) > 0.01
    assert sum(gain > 0 for gain in gains) >= 5
