"""Which examples represent others: the steps of AdaICL without a language model.

Centres of clusters, a graph of neighbours, a greedy cover.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import MissingExtraError
from asyndbt.optim import FloatArray

BoolArray = NDArray[np.bool_]


def central(placed: FloatArray, count: int, seed: int) -> list[int]:
    """Return the vectors nearest to the centres of a k-means clustering, each once.

    `placed` is (V, D). There are fewer than `count` centres if fewer vectors are distinct.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtraError("scikit-learn", "study") from None
    # Equal vectors have no centres of their own.
    distinct = len(np.unique(placed.round(9), axis=0))
    centres = (
        KMeans(min(count, distinct), n_init=10, random_state=seed).fit(placed).cluster_centers_
    )
    chosen: list[int] = []
    for centre in centres:
        distances = np.linalg.norm(placed - centre, axis=1).round(9)
        distances[chosen] = np.inf
        chosen.append(int(np.argmin(distances)))
    return chosen


def reach(placed: FloatArray, links: int) -> BoolArray:
    """Return the (V, V) matrix of pairs within two hops, oneself included.

    Every row of `placed`, (V, D) of length 1, is joined to its `links` nearest ones, both ways.

    Examples
    --------
    >>> line = np.array([[np.cos(a), np.sin(a)] for a in (0.0, 0.1, 0.25, 0.45)])
    >>> reach(line, 1).astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 1],
           [1, 1, 1, 1],
           [0, 1, 1, 1]])
    """
    size = len(placed)
    joined = np.eye(size, dtype=np.bool_)
    similarity = (placed @ placed.T).round(9)
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : min(links, size - 1)]
    joined[np.arange(size)[:, None], order] = True
    joined |= joined.T
    two: BoolArray = (joined.astype(np.int64) @ joined.astype(np.int64)) > 0
    return two


def cover(near: BoolArray, hard: BoolArray, taken: Sequence[int], most: int) -> list[int]:
    """Choose greedily what covers most of the hard set; ties go to the first.

    Parameters
    ----------
    near : BoolArray
        (V, V), whether the row covers the column.
    hard : BoolArray
        (V,), the hard set.
    taken : sequence of int
        Annotated before: not chosen again, and they cover nothing here.
    most : int
        Most choices, at least 1; fewer if they cover the hard set.
    """
    open_ones, free = hard.copy(), np.ones(hard.size, dtype=np.bool_)
    free[list(taken)] = False
    chosen: list[int] = []
    while open_ones.any() and len(chosen) < most:
        gains = np.where(free, (near & open_ones).sum(axis=1), -1)
        best = int(np.argmax(gains))
        chosen.append(best)
        free[best] = False
        open_ones &= ~near[best]
    return chosen
