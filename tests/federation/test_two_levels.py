"""Where the right word depends on the demonstration beside it, the levels must be coupled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from asyndbt.federation import Plan
from asyndbt.optim import Settings, Shape, preset
from asyndbt.testing import TabularProblem

# Sites that disagree are brought together by theta alone, since a mean of policies is a vote.
SETTINGS = preset(
    "plain",
    batch_size=4,
    draws=5,
    ridge=1.0,
    shared_words=0.0,
    discount=1.0,
    eta_p=0.5,
    eta_q=0.5,
    proximity=1.0,
    eta_z=0.2,
    eta_theta=0.3,
    theta_clip=5.0,
    psi=0.0,
    refresh_every=0,
)


def read_out_gap(run: Any) -> float:
    """Distance of the read-outs of z and of every q from the optimum, as a share of the range."""
    problem, words = run.problem, run.coordinator.plan.fragment(run.coordinator.server.z)
    total = sum(
        problem.tables[index].mean(axis=-1)[(*words, *Plan.demonstrations(site.learner.q))]
        for index, site in enumerate(run.sites.values())
    )
    return float(total - problem.optimum().loss) / problem.loss_range()


def test_coupled_levels_end_nearer_to_the_optimum_than_decoupled_ones(
    run_tabular: Callable[..., Any],
) -> None:
    def gaps(settings: Settings) -> list[float]:
        found = []
        for seed in range(6):
            problem = TabularProblem(
                Shape(1, 6, 1, 6), workers=2, seed=seed, pairing=3.0, agreement=0.0, noise=1.0
            )
            found.append(read_out_gap(run_tabular(problem, settings=settings, limit=400)))
        return found

    coupled, decoupled = gaps(SETTINGS.replace(pairs=1.0)), gaps(SETTINGS)
    assert np.mean(coupled) < 0.75 * np.mean(decoupled)
