from dataclasses import replace

import numpy as np
import pytest

from asyndbt.optim import Gradient, ServerState, preset, stationarity_gap

SETTINGS = preset(
    "plain", step="projection", eta_p=0.1, eta_q=0.2, eta_z=0.3, eta_theta=0.4, psi=0.0
)
GRADIENT = Gradient(np.array([[0.0, 1.0, 2.0]]), np.array([[3.0, 1.0]]))


def at(p, q, z, theta=0.0):
    state = ServerState.initial(1, 1, 3)
    state = replace(state, p_all=np.array([[p]]), z=np.array([z]))
    state.theta[:] = theta
    return stationarity_gap(state, [np.array([q])], [GRADIENT], SETTINGS)


def test_zero_at_a_solution_and_only_there():
    best = [1.0, 0.0, 0.0]
    assert at(best, [0.0, 1.0], best) == 0.0
    assert at([0.9, 0.1, 0.0], [0.0, 1.0], [0.9, 0.1, 0.0]) > 0.1
    assert at(best, [0.1, 0.9], best) > 0.1
    assert at(best, [0.0, 1.0], [0.9, 0.1, 0.0]) > 0.01
    assert at(best, [0.0, 1.0], best, theta=[-2.0, 0.0, 0.0]) > 0.1


def test_inside_the_simplex_it_is_the_squared_centred_gradient():
    third = [1 / 3] * 3
    assert at(third, [0.5, 0.5], third) == pytest.approx(2.0 + 2.0)
