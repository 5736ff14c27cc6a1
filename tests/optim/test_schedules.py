import numpy as np
import pytest

from asyndbt.optim import c1_at, c2_at, preset

SETTINGS = preset(
    "plain", regularisation="scheduled", eta_lambda=0.1, eta_theta=0.5, c1_min=0.3, c2_min=0.01
)


@pytest.mark.parametrize(("at", "eta", "floor"), [(c1_at, 0.1, 0.3), (c2_at, 0.5, 0.01)])
def test_weights_fall_as_the_fourth_root_down_to_their_floor(at, eta, floor):
    weights = np.array([at(t, SETTINGS) for t in range(2_000)])
    assert weights[0] == pytest.approx(1 / eta)
    assert weights[15] == pytest.approx(1 / (2 * eta))
    assert (np.diff(weights) <= 0).all()
    assert at(10**12, SETTINGS) == floor


def test_constant_weights():
    constant = SETTINGS.replace(regularisation="constant")
    assert {c1_at(t, constant) for t in (0, 7, 10**6)} == {0.3}
    assert {c2_at(t, constant) for t in (0, 7, 10**6)} == {0.01}
