import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.optim import (
    Gradient,
    initial_optimizer_state,
    on_simplex,
    preset,
    project_rows,
    uniform_rows,
    worker_step,
)

STEPS = ("exponentiated", "projection", "adam")


def random_policies(rng):
    return project_rows(1.5 * rng.random((3, 5))), project_rows(1.5 * rng.random((2, 4)))


@given(
    st.sampled_from(STEPS),
    st.integers(0, 1_000),
    st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 10.0]),
)
def test_every_form_stays_on_the_simplex(step, seed, scale, consensus, entropy):
    rng = np.random.default_rng(seed)
    settings = preset("plain", step=step, eta_p=2.0, eta_q=3.0, entropy=entropy)
    p, q = random_policies(rng)
    z = random_policies(rng)[0] if consensus else None
    pull = scale * rng.normal(size=p.shape) if consensus else None
    state = initial_optimizer_state(p, q, settings)
    for _ in range(3):
        gradient = Gradient(scale * rng.normal(size=p.shape), scale * rng.normal(size=q.shape))
        p, q, state = worker_step(p, q, gradient, pull, z, settings, state)
        assert on_simplex(p, 1e-12)
        assert on_simplex(q, 1e-12)


@pytest.mark.parametrize("step", STEPS)
def test_given_arrays_are_not_changed(step):
    rng = np.random.default_rng(0)
    settings = preset("plain", step=step)
    p, q = random_policies(rng)
    gradient = Gradient(rng.normal(size=p.shape), rng.normal(size=q.shape))
    pull, z = rng.normal(size=p.shape), random_policies(rng)[0]
    given_arrays = [p, q, gradient.p, gradient.q, pull, z]
    copies = [array.copy() for array in given_arrays]
    worker_step(p, q, gradient, pull, z, settings, initial_optimizer_state(p, q, settings))
    for array, copy in zip(given_arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_projected_step_is_the_printed_one():
    rng = np.random.default_rng(1)
    settings = preset("plain", step="projection", eta_p=0.3, eta_q=0.2, psi=0.05)
    (p, q), (z, _) = random_policies(rng), random_policies(rng)
    gradient = Gradient(rng.normal(size=p.shape), rng.normal(size=q.shape))
    pull = rng.normal(size=p.shape)
    new_p, new_q, _ = worker_step(p, q, gradient, pull, z, settings, {})
    slope = gradient.p + pull + 0.05 * np.sign(p - z)
    np.testing.assert_allclose(new_p, project_rows(p - 0.3 * slope))
    np.testing.assert_allclose(new_q, project_rows(q - 0.2 * gradient.q))


def test_first_step_of_adam_has_the_length_of_its_step_size():
    settings = preset("plain", step="adam", eta_p=1e-4, eta_q=1e-4)
    p, q = uniform_rows(1, 4), uniform_rows(1, 2)
    gradient = Gradient(np.array([[1.0, -1.0, 2.0, -2.0]]), np.array([[5.0, -5.0]]))
    state = initial_optimizer_state(p, q, settings)
    new_p, _, state = worker_step(p, q, gradient, None, None, settings, state)
    np.testing.assert_allclose(new_p - p, [[-1e-4, 1e-4, -1e-4, 1e-4]], rtol=1e-6)
    assert int(state["steps"]) == 1


def test_robust_term_draws_p_to_z():
    settings = preset("plain", step="projection", eta_p=0.1, psi=1.0)
    p, z = np.array([[0.8, 0.1, 0.1]]), np.array([[0.2, 0.6, 0.2]])
    nothing = Gradient(np.zeros((1, 3)), np.zeros((0, 0)))
    moved, _, _ = worker_step(p, np.zeros((0, 0)), nothing, None, z, settings, {})
    assert np.abs(moved - z).sum() < np.abs(p - z).sum()


def test_exponentiated_step_lets_a_word_come_back_from_zero():
    settings = preset("plain", eta_p=5.0)
    p, q = np.array([[0.0, 1.0]]), np.zeros((0, 0))
    gradient = Gradient(np.array([[-1.0, 1.0]]), q)
    for _ in range(10):
        p, q, _ = worker_step(p, q, gradient, None, None, settings, {})
    assert p[0, 0] > 0.99


def test_floor_of_the_exponentiated_step_is_harmless():
    p = np.zeros((1, 10_000))
    p[0, 0] = 1.0
    nothing = Gradient(np.zeros_like(p), np.zeros((0, 0)))
    moved, _, _ = worker_step(p, np.zeros((0, 0)), nothing, None, None, preset("plain"), {})
    np.testing.assert_allclose(moved, p, atol=1e-7)


def test_entropy_ends_at_the_gibbs_distribution():
    slope, tau = np.array([[0.3, 0.0, 0.7]]), 0.2
    settings = preset("plain", eta_p=2.0, entropy=tau)
    p, empty = uniform_rows(1, 3), np.zeros((0, 0))
    for _ in range(200):
        p, _, _ = worker_step(p, empty, Gradient(slope, empty), None, None, settings, {})
    gibbs = np.exp(-slope / tau)
    np.testing.assert_allclose(p, gibbs / gibbs.sum(), rtol=1e-6)


@pytest.mark.parametrize("step", STEPS)
def test_policies_may_be_missing(step):
    settings = preset("plain", step=step)
    p, q = uniform_rows(0, 5), uniform_rows(0, 0)
    state = initial_optimizer_state(p, q, settings)
    new_p, new_q, _ = worker_step(p, q, Gradient(p, q), p, p, settings, state)
    assert new_p.shape == (0, 5)
    assert new_q.shape == (0, 0)
