import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asyndbt.optim import (
    Planes,
    add_planes,
    cached_values,
    drop_inactive,
    grow,
    plane_values,
    project_rows,
    pull_on_consensus,
    pull_on_workers,
    violation,
)

EVERYONE = np.ones(3, dtype=np.bool_)


def point(rng, workers=3, positions=2, words=4):
    """Return random policies and a consensus, with zeros in them now and then."""
    x = project_rows(1.5 * rng.random(((workers + 1) * positions, words)))
    x = x.reshape(workers + 1, positions, words)
    return x[:-1], x[-1]


def cut(rng, eps, planes=None, **sizes):
    x0, phi = point(rng, **sizes), point(rng, **sizes)
    planes = planes or Planes.empty(*x0[1].shape, x0[0].shape[0])
    return add_planes(planes, *x0, *phi, eps), x0, phi


def towards(phi, x, share):
    """Return the point a share of the way from phi to x."""
    return tuple(a + share * (b - a) for a, b in zip(phi, x, strict=True))


@given(st.integers(0, 10_000), st.floats(0.0, 4.0))
def test_a_plane_cuts_off_its_point(seed, eps):
    planes, x0, phi = cut(np.random.default_rng(seed), eps)
    distances = violation(*x0, *phi)
    assert set(planes.position) == set(np.flatnonzero(distances > eps))
    heights = plane_values(planes, *x0)
    np.testing.assert_allclose(heights, distances[planes.position] - eps, atol=1e-12)
    assert (heights > -1e-12).all()
    assert not planes.multipliers.any()


@given(st.integers(0, 10_000), st.floats(0.01, 2.0), st.floats(0.0, 1.0))
def test_a_plane_keeps_every_feasible_point(seed, eps, share):
    rng = np.random.default_rng(seed)
    planes, _, phi = cut(rng, eps)
    assume(len(planes))
    far = point(rng)
    reach = violation(*far, *phi).max()
    # On the border of the feasible set (share 1) or inside it.
    feasible = towards(phi, far, share * min(1.0, eps / reach))
    assert violation(*feasible, *phi).max() <= eps + 1e-12
    assert (plane_values(planes, *feasible) <= 1e-12).all()


@given(st.integers(0, 10_000))
def test_a_plane_keeps_the_feasible_points_of_those_who_stay(seed):
    rng = np.random.default_rng(seed)
    eps = 0.1
    planes, _, phi = cut(rng, eps)
    assume(len(planes))
    live = np.array([True, False, True])
    far = point(rng)
    share = min(1.0, eps / violation(far[0][live], far[1], phi[0][live], phi[1]).max())
    p, z = towards(phi, far, share)
    p[1] = far[0][1]  # the worker that is gone stands anywhere
    everything = plane_values(planes, p, z)
    own = np.array([planes.a[plane, 1] @ p[1, i] for plane, i in enumerate(planes.position)])
    assert (everything - own - planes.shares[:, 1] <= 1e-12).all()


def test_standing_values_leave_out_who_is_gone():
    rng = np.random.default_rng(0)
    planes, (p, z), _ = cut(rng, 0.1)
    np.testing.assert_allclose(cached_values(planes, z, EVERYONE), plane_values(planes, p, z))
    live = np.array([True, False, True])
    own = [planes.a[plane, 1] @ p[1, i] for plane, i in enumerate(planes.position)]
    np.testing.assert_allclose(
        cached_values(planes, z, live), plane_values(planes, p, z) - own - planes.shares[:, 1]
    )


def test_pulls_are_the_gradient_of_the_planes_part_of_the_lagrangian():
    rng = np.random.default_rng(1)
    planes, (p, z), _ = cut(rng, 0.1)
    planes, *_ = cut(rng, 0.1, planes)
    planes.multipliers[:] = rng.random(len(planes))

    def lagrangian(p, z):
        return planes.multipliers @ plane_values(planes, p, z)

    workers = np.array([2, 0])
    pulls = pull_on_workers(planes, workers)
    for index, worker in enumerate(workers):
        for entry in np.ndindex(z.shape):
            moved = p.copy()
            moved[(worker, *entry)] += 1.0
            slope = lagrangian(moved, z) - lagrangian(p, z)
            assert pulls[(index, *entry)] == pytest.approx(slope)
    for entry in np.ndindex(z.shape):
        moved = z.copy()
        moved[entry] += 1.0
        slope = lagrangian(p, moved) - lagrangian(p, z)
        assert pull_on_consensus(planes)[entry] == pytest.approx(slope)


def test_planes_without_a_multiplier_before_and_after_are_dropped():
    planes, *_ = cut(np.random.default_rng(2), 0.1, positions=4)
    assert len(planes) == 4
    planes.multipliers[:] = [0.0, 0.2, 0.0, 0.05]
    kept = drop_inactive(planes, np.array([0.0, 0.0, 0.3, 0.05]), 0.1)
    assert kept.position.tolist() == [1, 2]
    assert kept.a.shape == (2, 3, 4)
    assert kept.shares.shape == kept.products.shape == (2, 3)
    assert drop_inactive(planes, np.ones(4), 0.1) is planes


def test_a_worker_that_joins_changes_no_plane():
    rng = np.random.default_rng(3)
    planes, (p, z), _ = cut(rng, 0.1)
    grown = grow(planes, 2)
    joined = np.concatenate([p, point(rng)[0][:2]])
    np.testing.assert_allclose(plane_values(grown, joined, z), plane_values(planes, p, z))
    grown.multipliers[:] = 1.0
    assert not pull_on_workers(grown, np.array([3, 4])).any()
    grown, *_ = cut(rng, 0.1, grown, workers=5)
    assert grown.a.shape[1] == 5


def test_arrays_hold_everything():
    planes, (p, z), _ = cut(np.random.default_rng(4), 0.1)
    planes.multipliers[:] = 0.5
    again = Planes.from_arrays(planes.arrays())
    assert again.sizes == planes.sizes
    assert again.a.dtype == np.int8
    np.testing.assert_array_equal(plane_values(again, p, z), plane_values(planes, p, z))
    np.testing.assert_array_equal(again.multipliers, planes.multipliers)


@pytest.mark.parametrize("workers", [0, 2])
def test_no_planes_pull_nothing(workers):
    planes = Planes.empty(3, 4, workers)
    assert len(planes) == 0
    assert plane_values(planes, np.ones((workers, 3, 4)), np.ones((3, 4))).shape == (0,)
    assert not pull_on_consensus(planes).any()
    assert pull_on_workers(planes, np.arange(workers)).shape == (workers, 3, 4)
