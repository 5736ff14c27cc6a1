from itertools import product

import numpy as np
import pytest

from asyndbt.optim import Shape, project_rows, sample_rows
from asyndbt.testing import TabularProblem


def policies(problem, seed=0):
    rng = np.random.default_rng(seed)
    shape = problem.shape
    p = project_rows(0.4 * rng.random((shape.positions, shape.words)))
    q = project_rows(0.4 * rng.random((shape.slots, shape.candidates)))
    return p, q


@pytest.mark.parametrize("shape", [Shape(2, 3, 1, 4), Shape(0, 3, 2, 3), Shape(3, 2, 0, 5)])
def test_exact_gradient_is_the_derivative_of_the_expected_loss(shape):
    problem = TabularProblem(shape, interaction=0.5)
    p, q = policies(problem)
    gradient = problem.exact_gradient(1, p, q)
    for policy, slope in ((p, gradient.p), (q, gradient.q)):
        assert slope.shape == policy.shape
        for entry in np.ndindex(policy.shape):
            kept = policy[entry]
            losses = []
            for value in (kept + 0.5, kept - 0.5):  # multilinear: any difference is exact
                policy[entry] = value
                losses.append(problem.expected_loss(1, p, q))
            policy[entry] = kept
            assert slope[entry] == pytest.approx(losses[0] - losses[1])


def test_sampled_losses_average_to_the_expected_loss():
    problem = TabularProblem(Shape(2, 3, 1, 4), interaction=0.5)
    p, q = policies(problem)
    rng = np.random.default_rng(0)
    losses = problem.sample_losses(
        2, sample_rows(p, 20_000, rng), sample_rows(q, 20_000, rng), np.arange(4), rng
    ).losses
    means = losses.mean(axis=1)
    error = means.std() / np.sqrt(means.size)
    assert abs(means.mean() - problem.expected_loss(2, p, q)) < 4 * error


def test_optimum_and_range_by_brute_force():
    problem = TabularProblem(Shape(2, 3, 2, 2), workers=2, interaction=0.7, seed=3)
    tables = problem.tables.mean(axis=-1)
    totals = {
        (words, first, second): tables[0][(*words, *first)] + tables[1][(*words, *second)]
        for words in product(range(3), repeat=2)
        for first in product(range(2), repeat=2)
        for second in product(range(2), repeat=2)
    }
    optimum = problem.optimum()
    words, *demonstrations = min(totals, key=totals.get)
    assert optimum.loss == pytest.approx(min(totals.values()))
    assert tuple(optimum.words) == words
    assert [tuple(row) for row in optimum.demonstrations] == demonstrations
    assert problem.loss_range() == pytest.approx(max(totals.values()) - min(totals.values()))


def test_with_pairing_the_right_word_depends_on_the_demonstration():
    def right_words(pairing):
        problem = TabularProblem(Shape(1, 4, 1, 6), interaction=0.0, pairing=pairing)
        return [set(table.mean(axis=-1).argmin(axis=0).tolist()) for table in problem.tables]

    assert all(len(words) == 1 for words in right_words(0.0))
    assert all(len(words) > 1 for words in right_words(3.0))


def test_pairing_leaves_the_other_effects_as_they_were():
    shape = Shape(2, 3, 1, 2)
    pairs = TabularProblem(shape, pairing=1.0).tables - TabularProblem(shape).tables
    assert np.ptp(pairs, axis=-1).max() == pytest.approx(0.0)  # the same for every query
    both, first, second, neither = pairs[:, 1, 1], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 0]
    np.testing.assert_allclose(both - first - second + neither, 0.0, atol=1e-12)


def test_stakes_are_factors_of_the_workers_losses():
    shape = Shape(1, 3, 1, 3)
    even, uneven = TabularProblem(shape), TabularProblem(shape, stakes=(3.0, 1.0, 0.5))
    for factor, before, after in zip((3.0, 1.0, 0.5), even.tables, uneven.tables, strict=True):
        np.testing.assert_allclose(after, factor * before)


def test_the_same_seed_gives_the_same_tables():
    shape = Shape(1, 3, 1, 3)
    first, second = TabularProblem(shape, seed=4), TabularProblem(shape, seed=4)
    np.testing.assert_array_equal(first.tables, second.tables)
    assert not np.array_equal(first.tables, TabularProblem(shape, seed=5).tables)
