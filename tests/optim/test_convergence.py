"""The whole method in a plain loop reaches the enumerated optimum, within 1 % of the range."""

import numpy as np
import pytest

from asyndbt.optim import (
    Gradient,
    ServerState,
    Shape,
    initial_optimizer_state,
    make_estimator,
    preset,
    read_out,
    row_entropies,
    sample_rows,
    server_step,
    uniform_rows,
    worker_step,
)
from asyndbt.testing import TabularProblem

SHAPE = Shape(2, 5, 1, 4)
# Effects here differ by up to 3 nats: theta must be able to bridge what workers disagree about.
DEFAULT = preset("plain", eta_p=2.0, eta_q=2.0, theta_clip=3.0)
PROJECTED = preset("plain", step="projection", eta_p=0.05, eta_q=0.05)
SCHEDULED = PROJECTED.replace(regularisation="scheduled", psi=0.02)


def problem(seed, **given):
    return TabularProblem(SHAPE, seed=seed, interaction=0.1, **given)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", [DEFAULT, PROJECTED, SCHEDULED])
def test_exact_gradients_with_all_workers_in_step(tune, settings, seed):
    outcome = tune(problem(seed), settings, 250)
    assert outcome.excess < 0.01
    assert outcome.largest_theta <= settings.theta_clip
    assert row_entropies(outcome.state.z).mean() < 0.8 * np.log(SHAPE.words)


@pytest.mark.parametrize("seed", range(3))
def test_exact_gradients_with_stale_workers(tune, seed):
    outcome = tune(problem(seed, workers=4), DEFAULT, 300, quorum=2)
    assert outcome.excess < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_regression_on_sampled_losses(tune, seed):
    settings = DEFAULT.replace(draws=8, batch_size=2, entropy=0.05)
    assert tune(problem(seed), settings, 60, exact=False).excess < 0.01


@pytest.mark.parametrize("seed", range(2))
def test_regression_on_sampled_losses_with_stale_workers(tune, seed):
    # A prompt's answer to a query counts once, so its noise does not average out.
    settings = DEFAULT.replace(draws=8, batch_size=2, entropy=0.05)
    quiet = problem(seed, noise=0.1)
    assert tune(quiet, settings, 100, exact=False, quorum=2).excess < 0.01


@pytest.mark.parametrize("seed", range(2))
def test_reinforce_on_sampled_losses(tune, seed):
    settings = PROJECTED.replace(
        estimator="reinforce", draws=8, batch_size=4, eta_p=0.01, eta_q=0.01
    )
    assert tune(problem(seed), settings, 800, exact=False).excess < 0.01


def test_planes_are_added_and_do_no_harm(tune):
    settings = PROJECTED.replace(plane_tolerance=0.02, refresh_every=5)
    outcome = tune(problem(0), settings, 250)
    assert outcome.planes_added > 10
    assert outcome.excess < 0.01
    without = tune(problem(0), settings.replace(refresh_every=0), 250)
    assert without.planes_added == 0
    assert without.excess < 0.01


@pytest.mark.parametrize("estimator", ["exact", "regression"])
def test_one_worker_without_consensus(estimator):
    pooled = problem(5, workers=1)
    settings = DEFAULT.replace(draws=8, batch_size=2, entropy=0.05)
    rng = np.random.default_rng(0)
    p, q = uniform_rows(2, 5), uniform_rows(1, 4)
    state = initial_optimizer_state(p, q, settings)
    learner = make_estimator(settings)
    memory = learner.initial(SHAPE)
    for _ in range(60):
        gradient = pooled.exact_gradient(0, p, q)
        if estimator == "regression":
            evaluations = pooled.sample_losses(
                0, sample_rows(p, 8, rng), sample_rows(q, 8, rng), rng.choice(4, 2), rng
            )
            memory = learner.update(memory, evaluations)
            gradient = learner.gradient(memory, p, q)
        p, q, state = worker_step(p, q, gradient, None, None, settings, state)
    optimum = pooled.optimum()
    reached = pooled.expected_loss(0, np.eye(5)[read_out(p)], np.eye(4)[read_out(q)])
    assert (reached - optimum.loss) / pooled.loss_range() < 0.01


def test_z_stays_with_honest_workers_at_the_papers_scale():
    """100 words and three workers that agree up to the noise of their estimates."""
    settings, words, workers = preset("paper"), 100, 3
    assert settings.psi <= 1 / (10 * words * workers * settings.eta_z)
    rng, no_slots = np.random.default_rng(0), np.zeros((0, 0))
    state = ServerState.initial(workers, 4, words)
    policies = [uniform_rows(4, words) for _ in range(workers)]
    memories = [initial_optimizer_state(policies[0], no_slots, settings)] * workers
    slope = rng.normal(size=(4, words))
    for _ in range(400):
        for worker, p in enumerate(policies):
            gradient = Gradient(slope + rng.normal(size=p.shape), no_slots)
            policies[worker], _, memories[worker] = worker_step(
                p, no_slots, gradient, state.theta[worker], state.z, settings, memories[worker]
            )
        state = server_step(state, np.arange(workers), np.stack(policies), settings)
    mean = np.mean(policies, axis=0)
    assert np.abs(mean - 1 / words).sum(axis=1).min() > 0.5, "the workers have moved"
    assert np.abs(state.z - mean).sum(axis=1).max() < 0.05
