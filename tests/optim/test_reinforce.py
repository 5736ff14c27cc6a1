import numpy as np
import pytest

from asyndbt.optim import Evaluations, Shape, project_rows, sample_rows
from asyndbt.optim.estimators import Reinforce
from asyndbt.testing import TabularProblem

SHAPE = Shape(2, 3, 1, 3)


@pytest.fixture
def problem():
    return TabularProblem(SHAPE, interaction=0.5)


def estimate_often(problem, p, q, failures, repeats=4_000, draws=4):
    rng = np.random.default_rng(0)
    estimator = Reinforce(Reinforce.Options())
    state = estimator.initial(SHAPE)
    estimates = []
    for _ in range(repeats):
        evaluations = problem.sample_losses(
            0, sample_rows(p, draws, rng), sample_rows(q, draws, rng), np.arange(4), rng
        )
        evaluations.losses[rng.random(evaluations.losses.shape) < failures] = np.nan
        # Queries with one answer compare nothing; the others alone must carry the estimate.
        state = estimator.update(state, evaluations)
        gradient = estimator.gradient(state, p, q)
        estimates.append(np.concatenate([gradient.p.ravel(), gradient.q.ravel()]))
    return np.array(estimates)


@pytest.mark.parametrize("failures", [0.0, 0.2])
def test_unbiased_up_to_a_constant_per_row(problem, failures):
    rng = np.random.default_rng(7)
    p, q = project_rows(0.3 * rng.random((2, 3))), project_rows(0.3 * rng.random((1, 3)))
    exact = problem.exact_gradient(0, p, q)
    level = problem.expected_loss(0, p, q)
    truth = np.concatenate([exact.p.ravel(), exact.q.ravel()]) - level
    estimates = estimate_often(problem, p, q, failures)
    errors = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert (np.abs(estimates.mean(axis=0) - truth) < 4 * errors).all()


def test_is_the_printed_formula_when_everything_is_answered(problem):
    rng = np.random.default_rng(1)
    p, q = np.full((2, 3), 1 / 3), np.full((1, 3), 1 / 3)
    evaluations = problem.sample_losses(
        0, sample_rows(p, 5, rng), sample_rows(q, 5, rng), np.arange(4), rng
    )
    means = evaluations.losses.mean(axis=1)
    expected = np.zeros((2, 3))
    for draw in range(5):
        for position in range(2):
            word = evaluations.words[draw, position]
            expected[position, word] += (means[draw] - means.mean()) / (4 * p[position, word])
    estimator = Reinforce(Reinforce.Options())
    state = estimator.update(estimator.initial(SHAPE), evaluations)
    np.testing.assert_allclose(estimator.gradient(state, p, q).p, expected)


def test_zeros_in_p_stay_finite_and_failures_are_neutral(problem):
    p = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    q = np.array([[0.0, 0.0, 1.0]])
    rng = np.random.default_rng(1)
    drawn = problem.sample_losses(
        0, sample_rows(p, 3, rng), sample_rows(q, 3, rng), np.arange(4), rng
    )
    estimator = Reinforce(Reinforce.Options())
    failed = Evaluations(
        drawn.words, drawn.demonstrations, drawn.queries, np.full(drawn.losses.shape, np.nan)
    )
    for evaluations in (drawn, failed):
        state = estimator.update(estimator.initial(SHAPE), evaluations)
        gradient = estimator.gradient(state, p, q)
        assert np.isfinite(gradient.p).all()
        assert np.isfinite(gradient.q).all()
    assert not gradient.p.any()
    fresh = estimator.gradient(estimator.initial(SHAPE), p, q)
    assert not fresh.p.any()


@pytest.mark.parametrize("shape", [Shape(0, 3, 1, 3), Shape(2, 3, 0, 3)])
def test_one_of_the_two_policies_may_be_missing(shape):
    problem = TabularProblem(shape)
    p = np.full((shape.positions, 3), 1 / 3)
    q = np.full((shape.slots, 3), 1 / 3)
    rng = np.random.default_rng(0)
    evaluations = problem.sample_losses(
        0, sample_rows(p, 3, rng), sample_rows(q, 3, rng), np.arange(4), rng
    )
    estimator = Reinforce(Reinforce.Options())
    gradient = estimator.gradient(estimator.update(estimator.initial(shape), evaluations), p, q)
    assert gradient.p.shape == p.shape
    assert gradient.q.shape == q.shape
