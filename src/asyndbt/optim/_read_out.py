"""From a policy to the entries that it stands for: the most probable of each row."""

from __future__ import annotations

import numpy as np

from asyndbt.optim._types import FloatArray, IntArray


def read_out(p: FloatArray) -> IntArray:
    """Return the (R,) most probable columns, the first among equals."""
    if p.shape[0] == 0:
        return np.empty(0, dtype=np.int64)
    best: IntArray = np.argmax(p, axis=1)
    return best


def read_out_distinct(p: FloatArray) -> IntArray:
    """Return (R,) distinct columns, assigned greedily from the largest entry down.

    With fewer columns than rows repeats cannot be avoided, and it is `read_out`.
    """
    if p.shape[1] < p.shape[0]:
        return read_out(p)
    chosen = np.empty(p.shape[0], dtype=np.int64)
    left = p.copy()
    for _ in range(p.shape[0]):
        row, column = divmod(int(np.argmax(left)), p.shape[1])
        chosen[row] = column
        left[row], left[:, column] = -1.0, -1.0
    return chosen
