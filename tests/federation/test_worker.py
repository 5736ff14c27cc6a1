from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asyndbt.errors import MessageError
from asyndbt.federation import Plan, Worker, encode
from asyndbt.federation._messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    LowerDone,
    LowerRound,
    Report,
    Step,
    StepDone,
)
from asyndbt.lm import BudgetExhausted, Limits, Usage
from asyndbt.optim import Settings, Shape, preset
from asyndbt.scoring import Score, Spent, TestScores
from asyndbt.testing import TabularObjective, TabularProblem

SHAPE = Shape(2, 4, 2, 3)
SETTINGS = preset("plain", draws=3, batch_size=2, eta_p=0.3, eta_q=0.3, window=50)
PER_STEP = 6


def worker(
    *, limit: int | None = None, settings: Settings = SETTINGS, seed: int = 0, **changes: Any
) -> Worker:
    problem = TabularProblem(SHAPE, workers=1, queries=4, seed=2)
    plan = Plan(sites=("north",), positions=2, words=4, settings=settings, **changes)
    return Worker("north", plan, TabularObjective(problem, 0, limit), seed)


def step(number: int, local_steps: int = 1) -> Step:
    z = np.random.default_rng(number).dirichlet(np.ones(4), size=2)
    pull = np.random.default_rng([number, 1]).normal(size=(2, 4)) * 0.1
    return Step(site="north", id=number, iteration=number, z=z, pull=pull, local_steps=local_steps)


def lower(number: int) -> LowerRound:
    point, z = (np.random.default_rng([number, k]).dirichlet(np.ones(4), size=2) for k in (0, 1))
    return LowerRound(site="north", id=number, iteration=1, point=point, z=z, rho=np.zeros((2, 4)))


def confirm(number: int) -> Confirm:
    table = np.array([[0, 0], [1, 3], [2, 2]], dtype=np.int64)
    return Confirm(site="north", id=number, iteration=9, candidates=table)


def evaluate(number: int) -> Evaluate:
    return Evaluate(site="north", id=number, iteration=9, fragment=np.array([1, 3], dtype=np.int64))


def done(whose: Worker, work: Assignment) -> Report:
    return asyncio.run(whose.handle(work))


def calls(whose: Worker) -> int:
    return whose.objective.spent().calls


KINDS = {"step": step, "lower": lower, "confirm": confirm, "evaluate": evaluate}


@pytest.mark.parametrize("estimator", ["regression", "reinforce"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_work_asked_twice_is_answered_twice_and_done_once(
    kind: str, estimator: Any
) -> None:
    site = worker(settings=preset("plain", estimator=estimator, draws=3, batch_size=2))
    done(site, step(1))
    first = done(site, KINDS[kind](2))
    paid, state = calls(site), site.state()
    again = done(site, KINDS[kind](2))
    assert encode(again) == encode(first)
    assert calls(site) == paid
    assert site.state() == state


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        preset(
            "plain",
            estimator="reinforce",
            step="adam",
            draws=3,
            batch_size=2,
            eta_p=0.01,
            eta_q=0.01,
        ),
        preset("plain", estimator="reinforce", step="projection", draws=3, batch_size=2, eta_p=0.1),
    ],
)
@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_a_restored_worker_goes_on_bit_for_bit(settings: Settings, stop: int) -> None:
    works = [step(1), step(2), lower(3), step(4), confirm(5), evaluate(6)]
    whole, first, second = (worker(settings=settings, validate_every=2) for _ in range(3))
    expected = [encode(done(whole, work)) for work in works]
    for work in works[:stop]:
        done(first, work)
    second.restore(first.state())
    assert second.state() == first.state()
    if stop:
        assert encode(done(second, works[stop - 1])) == expected[stop - 1], "asked again"
        assert calls(second) == calls(first)
    assert [encode(done(second, work)) for work in works[stop:]] == expected[stop:]
    assert second.state() == whole.state()
    assert np.array_equal(second.demonstrations, whole.demonstrations)


def test_local_steps_are_steps() -> None:
    """Three steps in one piece of work move like three pieces with the same z and pull."""
    together, apart = worker(), worker()
    report = done(together, step(1, local_steps=3))
    for number in (1, 2, 3):
        work = step(1)
        done(apart, Step(**{**_fields(work), "id": number}))
    assert isinstance(report, StepDone)
    assert report.p.tobytes() == apart.learner.p.tobytes()
    assert together.learner.q.tobytes() == apart.learner.q.tobytes()
    assert report.spent.calls == 3 * PER_STEP


def test_local_steps_go_on_from_where_the_last_one_ended() -> None:
    """Only the first starts at z: five of them move p farther than one does, five times over."""
    settings = SETTINGS.replace(proximity=1.0)
    together, apart = worker(settings=settings), worker(settings=settings)
    work = step(1)
    done(together, step(1, local_steps=5))
    for number in range(1, 6):
        done(apart, Step(**{**_fields(work), "id": number}))
    moved, once = (np.abs(site.learner.p - work.z).sum() for site in (together, apart))
    assert moved > 2 * once
    assert calls(together) == calls(apart)


@pytest.mark.parametrize(
    ("estimator", "own"), [("regression", 0), ("regression", 1), ("reinforce", 0)]
)
def test_words_are_drawn_from_the_point_at_which_the_step_starts(estimator: str, own: int) -> None:
    """All but those that are drawn from the policy that never sees the consensus."""
    settings = SETTINGS.replace(proximity=1.0, estimator=estimator, own_draws=own)
    site, drawn = worker(settings=settings), []
    original = site.objective.losses

    async def losses(words: Any, demonstrations: Any, queries: Any) -> Any:
        drawn.append(words)
        return await original(words, demonstrations, queries)

    site.objective.losses = losses  # type: ignore[method-assign]
    done(site, Step(**{**_fields(step(1)), "z": np.eye(4)[[1, 3]]}))
    at_z = (drawn[0] == [1, 3]).all(axis=1)
    assert at_z.sum() == settings.draws - own


def test_the_policy_gradient_is_unbiased_at_the_point_at_which_the_step_starts() -> None:
    """The mean over seeds of what the first step moves p by, against enumeration at z."""
    settings = SETTINGS.replace(
        proximity=1.0, estimator="reinforce", step="projection", eta_p=1e-3, psi=0.0, batch_size=1
    )
    z, own = np.full((2, 4), 0.25), np.array([[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05]])
    problem = TabularProblem(Shape(2, 4, 0, 0), workers=1, queries=1, seed=2, interaction=3.0)
    plan = Plan(sites=("north",), positions=2, words=4, settings=settings)
    moved = []
    for seed in range(300):
        site = Worker("north", plan, TabularObjective(problem, 0), seed)
        site.learner.p = own.copy()
        done(site, Step(**{**_fields(step(1)), "z": z, "pull": np.zeros((2, 4))}))
        moved.append((z - site.learner.p) / settings.eta_p)
    exact = problem.exact_gradient(0, z, np.zeros((0, 0))).p
    exact -= exact.mean(axis=1, keepdims=True)
    error = np.std(moved, axis=0) / np.sqrt(len(moved))
    assert np.all(np.abs(np.mean(moved, axis=0) - exact) < 4 * error)


def _fields(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__dataclass_fields__}


def test_a_worker_stops_within_its_limit_and_says_so() -> None:
    site = worker(limit=2 * PER_STEP + 1)
    reports = [done(site, step(number)) for number in (1, 2, 3)]
    assert [report.exhausted for report in reports if isinstance(report, StepDone)] == [
        False,
        True,
        True,
    ]
    assert calls(site) == 2 * PER_STEP


def test_steps_that_no_longer_fit_are_left_out_of_a_piece_of_work() -> None:
    site = worker(limit=2 * PER_STEP)
    report = done(site, step(1, local_steps=5))
    assert isinstance(report, StepDone)
    assert report.exhausted
    assert report.spent.calls == 2 * PER_STEP
    before = site.learner.p.copy()
    done(site, step(2))
    assert np.array_equal(site.learner.p, before), "nothing asked, nothing moved"


@pytest.mark.parametrize(
    ("local_steps", "expected"),
    [(1, [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]), (2, [0, 1, 1, 0, 1, 0, 0])],
)
def test_validations_come_every_so_many_steps_and_no_more_than_agreed(
    local_steps: int, expected: list[int]
) -> None:
    site = worker(validate_every=3, validations=3)
    seen = []
    for number in range(1, len(expected) + 1):
        report = done(site, step(number, local_steps))
        assert isinstance(report, StepDone)
        seen.append(report.validation.n)
    assert seen == expected


def test_no_validation_is_due_when_no_step_could_be_done() -> None:
    site = worker(limit=3 * PER_STEP, validate_every=3)
    reports = [done(site, step(number)) for number in range(1, 6)]
    assert [r.validation.n for r in reports if isinstance(r, StepDone)] == [0, 0, 1, 0, 0]


class Broke:
    """An objective whose first estimate of the budget was too high."""

    shape, counts, looks_left, comparable = SHAPE, (4, 1, 1), 0, 1

    def __init__(self) -> None:
        self.asked = 0

    def affords_step(self, prompts: int, queries: int) -> bool:
        return True

    def spent(self) -> Spent:
        return Spent(calls=7)

    async def losses(self, words: Any, demonstrations: Any, queries: Any) -> Any:
        self.asked += 1
        raise BudgetExhausted(Usage(calls=6), Limits(calls=1))

    async def validate(self, words: Any, demonstrations: Any) -> Score:
        return Score()

    async def compare(self, prompts: Any, start: int, stop: int) -> Any:
        return np.full((len(prompts), stop - start), np.nan)

    async def test(self, words: Any, demonstrations: Any, rng: Any) -> TestScores:
        return TestScores(Score(), Score(), Score())

    def state(self) -> dict[str, int]:
        return {}

    def restore(self, state: Mapping[str, int]) -> None: ...


@pytest.mark.parametrize("estimator", ["regression", "reinforce"])
def test_a_budget_that_ends_in_the_middle_counts_as_exhausted(estimator: Any) -> None:
    settings = preset("plain", estimator=estimator)
    plan = Plan(sites=("north",), positions=2, words=4, settings=settings)
    objective = Broke()
    site = Worker("north", plan, objective, 0)
    report = done(site, step(1, local_steps=4))
    assert isinstance(report, StepDone)
    assert report.exhausted
    assert report.spent.calls == 7
    assert objective.asked == 1, "not tried again"
    assert np.array_equal(report.p, np.full((2, 4), 0.25))
    assert isinstance(done(site, lower(2)), LowerDone)
    assert isinstance(done(site, confirm(3)), ConfirmDone)
    assert isinstance(done(site, evaluate(4)), EvaluateDone)


def test_draws_hang_on_the_seed_and_the_sites_name() -> None:
    one, same, other = worker(), worker(), worker(seed=1)
    for site in (one, same, other):
        done(site, step(1))
    assert one.state() == same.state()
    assert one.learner.p.tobytes() != other.learner.p.tobytes()


def test_every_training_query_is_asked_once_before_any_is_asked_again() -> None:
    seen: list[int] = []
    site = worker()
    original = site.objective.losses

    async def losses(words: Any, demonstrations: Any, queries: Any) -> Any:
        seen.extend(queries.tolist())
        return await original(words, demonstrations, queries)

    site.objective.losses = losses  # type: ignore[method-assign]
    for number in range(1, 7):
        done(site, step(number))
    rounds = [sorted(seen[start : start + 4]) for start in range(0, 12, 4)]
    assert rounds == [[0, 1, 2, 3]] * 3


def test_the_settled_demonstrations_are_the_option_that_validates_best() -> None:
    site = worker()
    for number in range(1, 4):
        done(site, step(number))
    report = done(site, evaluate(9))
    assert isinstance(report, EvaluateDone)
    problem = TabularProblem(SHAPE, workers=1, queries=4, seed=2)
    fragment = np.eye(4)[[1, 3]]

    def loss(demonstrations: Any) -> float:
        return problem.expected_loss(0, fragment, np.eye(3)[demonstrations])

    assert loss(site.demonstrations) <= loss(site.learner.q.argmax(axis=1))
    assert report.tuned.loss == report.validation.loss


def test_a_step_without_an_answer_says_so_and_the_widest_slot_is_reported() -> None:
    site = worker()
    report = done(site, step(1))
    assert isinstance(report, StepDone)
    assert report.answered == PER_STEP
    assert report.entropy_q <= report.entropy_q_max <= round(np.log(SHAPE.candidates), 2)

    async def none(words: Any, demonstrations: Any, queries: Any) -> Any:
        return np.full((len(words), len(queries)), np.nan)

    site.objective.losses = none  # type: ignore[method-assign]
    silent = done(site, step(2))
    assert isinstance(silent, StepDone)
    assert (silent.loss, silent.answered) == (0.0, 0)


class Refusing(TabularObjective):
    """Gives no answer to prompts with word 0."""

    async def compare(self, prompts: Any, start: int, stop: int) -> Any:
        losses = await super().compare(prompts, start, stop)
        for row, (words, _) in zip(losses, prompts, strict=True):
            if 0 in words:
                row[:] = np.nan
        return losses


def test_a_fragment_that_the_model_refuses_takes_no_comparison_from_the_others() -> None:
    problem = TabularProblem(SHAPE)
    agreed = Plan(sites=("north",), positions=2, words=4, settings=preset("plain"))
    worker = Worker("north", agreed, Refusing(problem, 0), 0)
    candidates = np.array([[0, 1], [1, 2], [2, 3]])
    work = Confirm(site="north", id=1, iteration=0, candidates=candidates)
    report = asyncio.run(worker.handle(work))
    assert isinstance(report, ConfirmDone)
    assert report.n > 0
    assert report.losses[0] > report.losses[1:].max() + 10
    assert report.losses[1] != report.losses[2]


@pytest.mark.parametrize(
    "work",
    [
        replace(step(1), z=np.full((2, 4), -0.3)),
        replace(step(1), z=np.full((4, 4), 0.25)),
        replace(step(1), pull=np.zeros((1, 4))),
        replace(lower(1), point=np.full((2, 4), 0.5)),
        replace(lower(1), rho=np.zeros((2, 5))),
        replace(confirm(1), candidates=np.array([[0, 4]])),
        replace(evaluate(1), fragment=np.array([0, 1, 2])),
    ],
    ids=lambda work: type(work).__name__,
)
def test_what_no_coordinator_asks_is_refused_before_any_data_are_looked_at(
    work: Assignment,
) -> None:
    """Whether it fails further on may hang on the data, and is told at no cost of privacy."""
    site = worker()
    with pytest.raises(MessageError):
        done(site, work)
    assert calls(site) == 0
