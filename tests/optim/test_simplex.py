import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq

from asyndbt.optim import (
    on_simplex,
    project_rows,
    read_out,
    row_entropies,
    sample_rows,
    uniform_rows,
)

shapes = st.tuples(st.integers(1, 5), st.integers(1, 8))
matrices = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-50, 50)))


@given(matrices)
def test_projection_lies_on_the_simplex_and_is_idempotent(x):
    projected = project_rows(x)
    assert on_simplex(projected, 1e-12)
    np.testing.assert_allclose(project_rows(projected), projected, atol=1e-12)


@given(matrices)
def test_projection_is_the_nearest_point(x):
    # y is the projection exactly if <x - y, v - y> <= 0 for every vertex v of the simplex.
    y = project_rows(x)
    to_vertices = (x - y) - ((x - y) * y).sum(axis=1, keepdims=True)
    assert to_vertices.max() <= 1e-9


@given(matrices)
def test_projection_agrees_with_a_root_finder(x):
    for row, projected in zip(x, project_rows(x), strict=True):
        tau = brentq(lambda t, row=row: np.maximum(row - t, 0).sum() - 1, row.min() - 2, row.max())
        np.testing.assert_allclose(projected, np.maximum(row - tau, 0), atol=1e-9)


def test_projection_keeps_its_digits_far_from_the_origin():
    np.testing.assert_allclose(
        project_rows(np.array([[1e12 + 0.5, 1e12, -1e12]])), [[0.75, 0.25, 0.0]]
    )


@pytest.mark.parametrize("shape", [(0, 4), (0, 0), (3, 1)])
def test_small_matrices(shape):
    x = np.ones(shape)
    assert project_rows(x).shape == shape
    assert on_simplex(project_rows(x))
    assert sample_rows(uniform_rows(*shape), 5, np.random.default_rng(0)).shape == (5, shape[0])
    assert row_entropies(uniform_rows(*shape)).shape == (shape[0],)
    assert read_out(uniform_rows(*shape)).shape == (shape[0],)


def test_draws_follow_their_rows():
    p = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    drawn = sample_rows(p, 20_000, np.random.default_rng(1))
    assert drawn.dtype == np.int64
    for row in range(2):
        shares = np.bincount(drawn[:, row], minlength=3) / 20_000
        deviations = np.sqrt(p[row] * (1 - p[row]) / 20_000)
        assert (np.abs(shares - p[row]) <= 4 * deviations).all()
    correlation = np.corrcoef(drawn[:, 0] == 0, drawn[:, 1] == 1)[0, 1]
    assert abs(correlation) < 4 / np.sqrt(20_000)


class Extremes:
    """A generator whose uniforms are the smallest and the largest that there are."""

    def random(self, shape):
        return np.where(np.arange(np.prod(shape)) % 2, np.nextafter(1.0, 0.0), 0.0).reshape(shape)


@pytest.mark.parametrize("scale", [1.0, 1 - 1e-12, 1 + 1e-12])
def test_what_has_no_probability_is_never_drawn(scale):
    p = scale * np.array([[0.0, 0.1, 0.2, 0.7, 0.0, 0.0]])
    drawn = sample_rows(p, 4, Extremes())
    assert set(drawn.ravel()) == {1, 3}


def test_draws_depend_on_the_generator_alone():
    p = uniform_rows(3, 7)
    first, second = (sample_rows(p, 10, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_entropies_in_nats():
    p = np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(row_entropies(p), [0.0, np.log(4), np.log(2)])


@pytest.mark.parametrize(
    "p", [[[0.5, 0.6]], [[1.1, -0.1]], [[np.nan, 1.0]], [[np.inf, 0.0]], [[0.0, 0.0]]]
)
def test_what_is_not_on_the_simplex(p):
    assert not on_simplex(np.array(p), 1e-3)


def test_read_out_takes_the_first_of_equals():
    assert read_out(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])).tolist() == [0, 2]


def test_a_distinct_read_out_repeats_no_column_and_keeps_what_is_clear():
    from asyndbt.optim import read_out_distinct

    p = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]])
    assert read_out_distinct(p).tolist() == [0, 1, 2]
    assert read_out_distinct(np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])).tolist() == [0, 0, 0]
    drawn = np.random.default_rng(0).dirichlet(np.ones(9), size=6)
    chosen = read_out_distinct(drawn)
    assert len(set(chosen.tolist())) == 6
    best = np.unravel_index(drawn.argmax(), drawn.shape)
    assert chosen[best[0]] == best[1]
