import numpy as np

from asyndbt.optim import lower_server_step, lower_worker_step, preset, project_rows

SETTINGS = preset("plain", eta_lower=0.2, eta_z=0.05, eta_rho=0.3, mu=2.0, psi=0.1)


def test_a_round_is_the_printed_one():
    rng = np.random.default_rng(0)
    p_all = project_rows(rng.random((3 * 2, 4))).reshape(3, 2, 4)
    z = project_rows(rng.random((2, 4)))
    rho, slopes = rng.normal(size=(2, 3, 2, 4))

    stepped = lower_worker_step(p_all[1], slopes[1], rho[1], z, SETTINGS)
    apart = p_all[1] - z
    direction = slopes[1] + rho[1] + 2.0 * apart + 0.1 * np.sign(apart)
    np.testing.assert_allclose(stepped, project_rows(p_all[1] - 0.2 * direction))

    new_z, new_rho = lower_server_step(z, p_all, rho, SETTINGS)
    direction = (-rho + 2.0 * (z - p_all) + 0.1 * np.sign(z - p_all)).sum(axis=0)
    np.testing.assert_allclose(new_z, project_rows(z - 0.05 * direction))
    np.testing.assert_allclose(new_rho, rho + 0.3 * (p_all - new_z))


def test_many_rounds_solve_the_lower_level():
    # Two workers that disagree: the consensus is where the sum of their losses is least.
    slopes = np.array([[[0.0, 0.3, 1.0]], [[1.0, 0.3, 0.0]]])
    p_all, z = np.full((2, 1, 3), 1 / 3), np.full((1, 3), 1 / 3)
    rho = np.zeros_like(p_all)
    for _ in range(2_000):
        for worker in range(2):
            p_all[worker] = lower_worker_step(
                p_all[worker], slopes[worker], rho[worker], z, SETTINGS
            )
        z, rho = lower_server_step(z, p_all, rho, SETTINGS)
    np.testing.assert_allclose(z, [[0.0, 1.0, 0.0]], atol=0.02)
    np.testing.assert_allclose(p_all, np.repeat(z[None], 2, axis=0), atol=0.05)
