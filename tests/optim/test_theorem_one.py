"""Theorem 1: the optimal value of the planes' problem never falls as planes are added.

The problem ``min cost.x`` over simplexes, with consensus, subject to the planes is solved by scipy;
only the planes come from the package.
"""

import numpy as np
import pytest
from scipy.optimize import linprog

from asyndbt.optim import Planes, add_planes, project_rows, violation

WORKERS, POSITIONS, WORDS = 2, 2, 4
SIZE = (WORKERS + 1) * POSITIONS * WORDS
EPS = 0.4


def as_point(x):
    x = x.reshape(WORKERS + 1, POSITIONS, WORDS)
    return x[:-1], x[-1]


def rows_sum_to_one():
    return np.kron(np.eye(SIZE // WORDS), np.ones(WORDS))


def planes_as_rows(planes):
    """Return A and b of ``A x <= b``, read off the stored arrays."""
    rows = np.zeros((len(planes), WORKERS + 1, POSITIONS, WORDS))
    for plane, position in enumerate(planes.position):
        rows[plane, :-1, position] = planes.a[plane]
        rows[plane, -1, position] = planes.b[plane]
    return rows.reshape(-1, SIZE), -(planes.c + planes.shares.sum(axis=1))


def solve(cost, planes):
    A, b = planes_as_rows(planes) if len(planes) else (None, None)
    equal = rows_sum_to_one()
    solution = linprog(cost, A_ub=A, b_ub=b, A_eq=equal, b_eq=np.ones(len(equal)))
    assert solution.status == 0
    return solution.fun, solution.x


def solve_exactly(cost, phi):
    """Return the optimum under h_i <= eps itself, with |x - phi| as extra variables."""
    eye, zero = np.eye(SIZE), np.zeros((SIZE, SIZE))
    absolute = np.block([[eye, -eye], [-eye, -eye]])
    budgets = np.zeros((POSITIONS, WORKERS + 1, POSITIONS, WORDS))
    for position in range(POSITIONS):
        budgets[position, :, position] = 1.0
    budgets = np.hstack([np.zeros((POSITIONS, SIZE)), budgets.reshape(POSITIONS, SIZE)])
    equal = np.hstack([rows_sum_to_one(), zero[: SIZE // WORDS]])
    solution = linprog(
        np.concatenate([cost, np.zeros(SIZE)]),
        A_ub=np.vstack([absolute, budgets]),
        b_ub=np.concatenate([phi, -phi, np.full(POSITIONS, EPS)]),
        A_eq=equal,
        b_eq=np.ones(len(equal)),
    )
    assert solution.status == 0
    return solution.fun


def random_point(rng):
    return project_rows(1.5 * rng.random((SIZE // WORDS, WORDS))).ravel()


@pytest.mark.parametrize("seed", range(5))
def test_optimum_rises_with_every_plane_and_stays_below_the_true_one(seed):
    rng = np.random.default_rng(seed)
    cost, phi = rng.normal(size=SIZE), random_point(rng)
    planes = Planes.empty(POSITIONS, WORDS, WORKERS)
    optima = [solve(cost, planes)[0]]
    for _ in range(15):
        planes = add_planes(planes, *as_point(random_point(rng)), *as_point(phi), EPS)
        optima.append(solve(cost, planes)[0])
    assert len(planes) > 5
    assert (np.diff(optima) >= -1e-9).all()
    assert optima[-1] > optima[0]
    assert optima[-1] <= solve_exactly(cost, phi) + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_cutting_off_optimum_after_optimum_ends_at_the_true_one(seed):
    rng = np.random.default_rng(seed)
    cost, phi = rng.normal(size=SIZE), random_point(rng)
    planes = Planes.empty(POSITIONS, WORDS, WORKERS)
    value, x = solve(cost, planes)
    for _ in range(200):
        before = len(planes)
        planes = add_planes(planes, *as_point(x), *as_point(phi), EPS + 1e-9)
        if len(planes) == before:
            break
        value, x = solve(cost, planes)
    assert violation(*as_point(x), *as_point(phi)).max() <= EPS + 1e-8
    assert value == pytest.approx(solve_exactly(cost, phi), abs=1e-6)
