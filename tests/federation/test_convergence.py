"""Against truth: problems small enough to enumerate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asyndbt.federation._messages import LowerDone, StepDone
from asyndbt.federation.engines._virtual import Delays
from asyndbt.optim import NO_WORD, Shape, preset
from asyndbt.testing import TabularProblem

DELAYS = Delays(kind="pareto", shape=1.5, slow={"site-0": 4.0})
# Effects in these tables have a standard deviation of one nat: sites disagree by several, so the
# multipliers that make them agree need that much room. What a word does depends on its position.
SETTINGS = preset(
    "plain",
    batch_size=4,
    ridge=1.0,
    shared_words=0.0,
    window=200,
    eta_p=0.3,
    eta_q=0.3,
    eta_z=0.2,
    eta_theta=0.5,
    theta_clip=3.0,
)
FORMS: dict[str, dict[str, Any]] = {
    "synchronous": {"quorum": 3},
    "asynchronous": {"quorum": 2},
    "barrier": {"quorum": 2, "refresh": "barrier"},
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("form", FORMS)
def test_the_read_out_reaches_the_enumerated_optimum(
    run_tabular: Callable[..., Any], form: str, seed: int
) -> None:
    """1,500 prompts a site; there are 125 fragments times 4,096 choices of demonstrations."""
    problem = TabularProblem(Shape(3, 5, 2, 4), workers=3, seed=seed)
    run = run_tabular(problem, settings=SETTINGS, delays=DELAYS, limit=1_500, **FORMS[form])
    assert run.gap <= 0.01
    assert max(site.objective.spent().calls for site in run.sites.values()) <= 1_500


@pytest.mark.parametrize("seed", range(4))
def test_the_centralised_form_reaches_the_enumerated_optimum(
    run_tabular: Callable[..., Any], seed: int
) -> None:
    problem = TabularProblem(Shape(3, 5, 2, 4), workers=1, seed=seed)
    run = run_tabular(problem, settings=SETTINGS, limit=1_500, consensus=False)
    assert run.gap <= 0.01


def test_the_consensus_itself_is_close_before_anything_is_confirmed(
    run_tabular: Callable[..., Any],
) -> None:
    """Confirmation compares a few read-outs; what it is given must be good already.

    The last iterate of a primal-dual method swings: that z alone ends at the optimum holds for
    most problems, not for all.
    """
    gaps = []
    for seed in range(5):
        problem = TabularProblem(Shape(3, 5, 2, 4), workers=3, seed=seed)
        run = run_tabular(
            problem, settings=SETTINGS, delays=DELAYS, limit=1_500, quorum=2, confirm_candidates=1
        )
        gaps.append(run.gap)
    assert np.median(gaps) <= 0.01
    assert max(gaps) <= 0.15


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("empty", "wins"), [(-6.0, True), (6.0, False)])
def test_no_fragment_is_chosen_where_words_do_nothing_but_harm(
    run_tabular: Callable[..., Any], workers: int, empty: float, wins: bool
) -> None:
    """The best of 125 fragments is at most 6 nats better than the mean of all."""
    for seed in range(3):
        problem = TabularProblem(Shape(3, 5, 2, 4), workers=workers, seed=seed, empty=empty)
        settings = preset("default", ridge=1.0, empty_fragment=True)
        run = run_tabular(problem, settings=settings, limit=1_000, consensus=workers > 1)
        assert (run.coordinator.fragment == NO_WORD).all() == wins
        for site in run.sites.values():
            assert (site.fragment(run.coordinator.fragment) == NO_WORD).all() == wins


def test_nobody_asks_without_a_fragment_unless_told_to(run_tabular: Callable[..., Any]) -> None:
    problem = TabularProblem(Shape(3, 5, 2, 4), workers=3, seed=0, empty=-6.0)
    run = run_tabular(problem, settings=SETTINGS, limit=600)
    assert (run.coordinator.fragment != NO_WORD).all()


@pytest.mark.parametrize("seed", range(4))
def test_one_liar_among_four_does_not_carry_the_fragment(
    run_tabular: Callable[..., Any], seed: int
) -> None:
    """Three sites agree; the first always reports the worst fragment, with certainty."""
    problem = TabularProblem(Shape(2, 4, 1, 3), workers=4, seed=seed, agreement=1.0)
    worst = problem.exact_gradient(0, *_uniform(problem)).p.argmax(axis=1)

    def lie(report: Any) -> dict[str, Any]:
        return {"p": np.eye(4)[worst]} if isinstance(report, StepDone | LowerDone) else {}

    settings = SETTINGS.replace(theta_clip=1.0)
    run = run_tabular(problem, settings=settings, limit=1_000, quorum=3, reports={"site-0": lie})
    assert np.array_equal(run.coordinator.fragment, problem.optimum().words)


def _uniform(problem: TabularProblem) -> tuple[Any, Any]:
    shape = problem.shape
    return (
        np.full((shape.positions, shape.words), 1 / shape.words),
        np.full((shape.slots, shape.candidates), 1 / shape.candidates),
    )


@pytest.mark.parametrize("shape", [Shape(0, 0, 2, 4), Shape(2, 5, 0, 0)])
def test_one_level_alone_is_tuned_to_its_optimum(
    run_tabular: Callable[..., Any], shape: Shape
) -> None:
    problem = TabularProblem(shape, workers=2, seed=2)
    run = run_tabular(problem, settings=SETTINGS, limit=800, consensus=shape.positions > 0)
    assert run.gap <= 0.01


@pytest.mark.parametrize("step", ["exponentiated", "projection", "adam"])
def test_reinforce_reaches_the_optimum_too_in_every_form_of_step(
    run_tabular: Callable[..., Any], step: str
) -> None:
    problem = TabularProblem(Shape(2, 3, 1, 3), workers=2, seed=0)
    settings = SETTINGS.replace(estimator="reinforce", step=step, draws=8, eta_p=0.05, eta_q=0.05)
    run = run_tabular(problem, settings=settings, limit=8_000)
    assert run.gap <= 0.01
