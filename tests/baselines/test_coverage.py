"""A cover leaves no hard one out; what is central is chosen once."""

from __future__ import annotations

import numpy as np
import pytest

from asyndbt.baselines._coverage import central, cover, reach


def test_every_cluster_has_its_centre_and_equals_do_not_stand_twice() -> None:
    three = np.repeat(np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), 4, axis=0)
    assert {index // 4 for index in central(three, 3, 0)} == {0, 1, 2}
    assert len(central(three, 5, 0)) == 3


def test_the_greedy_cover_takes_what_covers_most() -> None:
    near = np.eye(6, dtype=bool)
    near[1, [2, 3, 4]] = near[[2, 3, 4], 1] = True
    hard = np.array([0, 0, 1, 1, 1, 1], dtype=bool)
    assert cover(near, hard, [], 6) == [1, 5]
    assert cover(near, hard, [1], 6) == [2, 3, 4, 5]
    assert cover(near, hard, [], 1) == [1]


@pytest.mark.parametrize("seed", range(5))
def test_a_cover_with_annotations_enough_leaves_no_hard_one_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(30, 4))
    near = reach(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 3)
    assert (near == near.T).all()
    hard = rng.random(30) < 0.5
    taken = [0, 1]
    chosen = cover(near, hard, taken, 30)
    assert near[chosen].any(axis=0)[hard].all()
    assert not set(chosen) & set(taken)
    assert len(set(chosen)) == len(chosen)
