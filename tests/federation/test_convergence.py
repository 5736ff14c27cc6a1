"""Against truth: problems small enough to enumerate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asyndbt.federation import Delays
from asyndbt.optim import Settings, Shape, TabularProblem

DELAYS = Delays(kind="pareto", shape=1.5, slow={"site-0": 4.0}, seed=5)
SETTINGS = Settings(batch_size=4, ridge=1.0, eta_p=2.0, eta_q=2.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("form", ["synchronous", "asynchronous", "barrier"])
def test_the_read_out_reaches_the_enumerated_optimum(
    run_tabular: Callable[..., Any], form: str, seed: int
) -> None:
    problem = TabularProblem(Shape(2, 5, 2, 4), workers=3, seed=seed, noise=0.3)
    run = run_tabular(
        problem,
        settings=SETTINGS,
        delays=DELAYS,
        limit=4_000,
        quorum=3 if form == "synchronous" else 2,
        refresh="barrier" if form == "barrier" else "free",
    )
    assert run.gap <= 0.01


@pytest.mark.parametrize("seed", range(4))
def test_the_centralised_form_reaches_the_enumerated_optimum(
    run_tabular: Callable[..., Any], seed: int
) -> None:
    problem = TabularProblem(Shape(2, 5, 2, 4), workers=1, seed=seed, noise=0.3)
    run = run_tabular(problem, settings=SETTINGS, limit=4_000, consensus=False)
    assert run.gap <= 0.01


@pytest.mark.parametrize("seed", range(3))
def test_one_liar_among_four_does_not_carry_the_fragment(
    run_tabular: Callable[..., Any], seed: int
) -> None:
    """Three honest sites agree; the fourth always reports the worst fragment with certainty."""
    problem = TabularProblem(Shape(2, 4, 1, 3), workers=4, seed=seed, agreement=1.0)
    honest = problem.optimum()
    rows = [problem.exact_gradient(0, *_uniform(problem)).p.argmax(axis=1)]
    lie = np.eye(4)[rows[0]]
    run = run_tabular(
        problem,
        settings=SETTINGS,
        limit=4_000,
        quorum=3,
        reports={"site-3": lambda report: {"p": lie} if hasattr(report, "loss") else {}},
    )
    assert np.array_equal(run.coordinator.fragment, honest.words)


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
    consensus = shape.positions > 0
    run = run_tabular(problem, settings=SETTINGS, limit=3_000, consensus=consensus)
    assert run.gap <= 0.01


def test_reinforce_reaches_the_optimum_too_with_more_calls(
    run_tabular: Callable[..., Any],
) -> None:
    problem = TabularProblem(Shape(2, 3, 1, 3), workers=2, seed=0)
    settings = replace(SETTINGS, estimator="reinforce", draws=8, eta_p=0.3, eta_q=0.3)
    run = run_tabular(problem, settings=settings, limit=16_000)
    assert run.gap <= 0.01
