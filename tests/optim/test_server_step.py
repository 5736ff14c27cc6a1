from dataclasses import replace

import numpy as np
import pytest

from asyndbt.optim import (
    ServerState,
    add_planes,
    c1_at,
    c2_at,
    cached_values,
    on_simplex,
    plane_values,
    preset,
    project_rows,
    server_step,
)

SETTINGS = preset(
    "plain",
    eta_z=0.1,
    eta_lambda=0.2,
    eta_theta=0.3,
    psi=0.05,
    regularisation="scheduled",
    theta_clip=0.2,
)
WORKERS, POSITIONS, WORDS = 5, 2, 4


def random_rows(rng, *lead):
    rows = project_rows(1.5 * rng.random((int(np.prod(lead)) * POSITIONS, WORDS)))
    return rows.reshape(*lead, POSITIONS, WORDS)


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    start = ServerState.initial(WORKERS, POSITIONS, WORDS)
    p_all, z = random_rows(rng, WORKERS), random_rows(rng, 1)[0]
    planes = start.planes
    for _ in range(2):
        planes = add_planes(planes, p_all, z, random_rows(rng, WORKERS), z, 0.1)
    planes.multipliers[:] = rng.random(len(planes))
    theta = 0.2 * rng.normal(size=p_all.shape).clip(-1, 1)
    everyone = np.ones(WORKERS, dtype=bool)
    return replace(
        start, p_all=p_all, z=z, planes=planes, theta=theta, reported=everyone, iteration=3
    )


def copy_of(state):
    return ServerState.from_arrays({name: a.copy() for name, a in state.arrays().items()})


def test_a_step_is_the_printed_one_in_the_printed_order(state):
    rng = np.random.default_rng(1)
    active, reports = np.array([3, 0]), random_rows(rng, 2)
    before = copy_of(state)
    after = server_step(state, active, reports, SETTINGS)

    p_all = before.p_all.copy()
    p_all[3], p_all[0] = reports
    slope = np.zeros(before.z.shape)
    for plane, position in enumerate(before.planes.position):
        slope[position] += before.planes.multipliers[plane] * before.planes.b[plane]
    for worker in range(WORKERS):
        slope += -before.theta[worker] + 0.05 * np.sign(before.z - p_all[worker])
    z = project_rows(before.z - 0.1 * slope)
    np.testing.assert_allclose(after.z, z)

    multipliers = before.planes.multipliers
    heights = plane_values(before.planes, p_all, z) - c1_at(3, SETTINGS) * multipliers
    expected = np.maximum(0.0, multipliers + 0.2 * heights)
    np.testing.assert_allclose(after.planes.multipliers, expected)

    for worker in range(WORKERS):
        theta = before.theta[worker]
        if worker in active:
            theta = theta + 0.3 * (p_all[worker] - z - c2_at(3, SETTINGS) * theta)
            theta = np.clip(theta, -0.2, 0.2)
        np.testing.assert_allclose(after.theta[worker], theta)
    np.testing.assert_array_equal(after.p_all, p_all)
    assert after.iteration == 4


def test_the_order_of_arrival_changes_no_digit(state):
    reports = random_rows(np.random.default_rng(2), 3)
    active = np.array([4, 1, 2])
    order = np.array([2, 0, 1])
    first = server_step(copy_of(state), active, reports, SETTINGS)
    second = server_step(copy_of(state), active[order], reports[order], SETTINGS)
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])


def test_who_is_gone_counts_in_no_sum(state):
    live = np.array([True, True, False, True, True])
    reports = random_rows(np.random.default_rng(3), 1)
    elsewhere = copy_of(state)
    elsewhere.theta[2] = 0.1
    moved = random_rows(np.random.default_rng(4), 1)
    elsewhere = server_step(elsewhere, np.array([2]), moved, SETTINGS.replace(eta_z=0.0))
    elsewhere = replace(
        elsewhere, z=state.z, planes=replace(elsewhere.planes, multipliers=state.planes.multipliers)
    )
    elsewhere = replace(elsewhere, iteration=state.iteration)
    results = [
        server_step(copy_of(each.with_live(live)), np.array([0]), reports, SETTINGS)
        for each in (state, elsewhere)
    ]
    np.testing.assert_array_equal(results[0].z, results[1].z)
    np.testing.assert_array_equal(results[0].planes.multipliers, results[1].planes.multipliers)


@pytest.mark.parametrize("averaging", [0.0, 1.0])
def test_who_has_not_reported_counts_in_no_sum(state, averaging):
    settings = SETTINGS.replace(averaging=averaging)
    reports = random_rows(np.random.default_rng(3), 1)
    state = replace(state, reported=np.array([True, True, False, True, True]))
    elsewhere = copy_of(state)
    elsewhere.p_all[2], elsewhere.theta[2] = np.eye(WORDS)[:POSITIONS], 0.1
    results = [server_step(each, np.array([0]), reports, settings) for each in (state, elsewhere)]
    np.testing.assert_array_equal(results[0].z, results[1].z)
    np.testing.assert_array_equal(results[0].planes.multipliers, results[1].planes.multipliers)
    after = server_step(results[0], np.array([2]), reports, settings)
    assert after.counted.all()


def test_theta_stays_within_its_clip(state):
    eager = SETTINGS.replace(eta_theta=50.0)
    for seed in range(5):
        reports = random_rows(np.random.default_rng(seed), WORKERS)
        state = server_step(state, np.arange(WORKERS), reports, eager)
        assert np.abs(state.theta).max() <= eager.theta_clip


def test_a_liar_moves_z_by_no_more_than_the_bound():
    # Whatever it reports and however long: psi + clip per coordinate, times eta_z, twice.
    bound = SETTINGS.eta_z * 2 * (SETTINGS.psi + SETTINGS.theta_clip) * np.sqrt(WORDS)
    rng = np.random.default_rng(5)
    state = ServerState.initial(WORKERS, POSITIONS, WORDS)
    corner = np.zeros((POSITIONS, WORDS))
    corner[:, 0] = 1.0
    for _ in range(30):
        reports = random_rows(rng, WORKERS)
        honest = server_step(copy_of(state), np.arange(WORKERS), reports, SETTINGS)
        lies = reports.copy()
        lies[4] = corner
        lied = copy_of(state)
        lied.theta[4] = SETTINGS.theta_clip * (1 - 2 * corner)
        lied = server_step(lied, np.arange(WORKERS), lies, SETTINGS)
        assert np.linalg.norm(lied.z - honest.z, axis=1).max() <= bound + 1e-12
        state = lied


def test_a_worker_may_join(state):
    grown = state.with_worker()
    assert grown.live.tolist() == [True] * (WORKERS + 1)
    np.testing.assert_array_equal(grown.p_all[-1], state.z)
    assert not grown.theta[-1].any()
    assert not grown.counted[-1]
    np.testing.assert_allclose(
        plane_values(grown.planes, grown.p_all, grown.z),
        plane_values(state.planes, state.p_all, state.z),
    )
    after = server_step(
        grown, np.array([WORKERS]), random_rows(np.random.default_rng(6), 1), SETTINGS
    )
    assert after.theta[-1].any()
    assert on_simplex(after.z)


def test_a_worker_that_returns_stands_at_z(state):
    state = server_step(state, np.array([1]), random_rows(np.random.default_rng(6), 1), SETTINGS)
    back = state.with_return(1)
    np.testing.assert_array_equal(back.p_all[1], back.z)
    assert not back.theta[1].any()
    assert not back.counted[1]
    everyone = np.ones(WORKERS, dtype=bool)
    np.testing.assert_allclose(
        cached_values(back.planes, back.z, everyone),
        plane_values(back.planes, back.p_all, back.z),
    )


def test_arrays_hold_everything(state):
    again = copy_of(state)
    reports = random_rows(np.random.default_rng(7), 2)
    first = server_step(state, np.array([1, 2]), reports, SETTINGS)
    second = server_step(again, np.array([1, 2]), reports, SETTINGS)
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])


def test_many_workers_are_summed_like_few():
    # More workers than fit one block, so that the blocks' sums are put together too.
    rng = np.random.default_rng(8)
    workers, settings = 700, SETTINGS.replace(eta_z=1e-4)
    p_all = project_rows(rng.random((workers * 10, 8))).reshape(workers, 10, 8)
    state = ServerState.initial(workers, 10, 8)
    state.theta[:] = rng.normal(size=state.theta.shape)
    theta, z = state.theta.copy(), state.z
    slope = -theta.sum(axis=0) + settings.psi * np.sign(z - p_all).sum(axis=0)
    after = server_step(state, rng.permutation(workers)[:0], p_all[:0], settings)
    assert after.iteration == 1
    after = server_step(
        replace(after, z=z, p_all=p_all.copy()), np.arange(workers), p_all, settings
    )
    np.testing.assert_allclose(after.z, project_rows(z - 1e-4 * slope))


def test_no_positions():
    state = ServerState.initial(2, 0, 5)
    after = server_step(state, np.array([0, 1]), np.zeros((2, 0, 5)), SETTINGS)
    assert after.z.shape == (0, 5)
