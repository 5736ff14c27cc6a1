"""Curves of several runs brought onto one axis: mean and band over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from asyndbt.optim import FloatArray
from asyndbt.study.rows import OVERALL, CurvePoint

__all__ = ["band", "over_iterations", "smoothed"]

Curve = Mapping[int, float]
_POINTS = 200


def over_iterations(points: Iterable[CurvePoint], metric: str) -> dict[int, Curve]:
    """Return by seed the values of a metric by iteration.

    Where a run has no value for all sites together, it is the mean over the sites of what each said
    last.
    """
    by_seed: dict[int, list[CurvePoint]] = {}
    for point in points:
        if point.metric == metric:
            by_seed.setdefault(point.seed, []).append(point)
    return {seed: _one(some) for seed, some in by_seed.items()}


def _one(points: Sequence[CurvePoint]) -> Curve:
    whole = [point for point in points if point.site == OVERALL]
    latest: dict[str, float] = {}
    curve: dict[int, float] = {}
    for point in sorted(whole or points, key=lambda point: (point.iteration, point.calls)):
        latest[point.site] = point.value
        curve[point.iteration] = sum(latest.values()) / len(latest)
    return curve


def smoothed(curve: Curve, share: int = 20) -> Curve:
    """Return the mean of every value and those before it, over one in `share` of the points.

    Examples
    --------
    >>> smoothed({0: 4.0, 1: 2.0, 2: 0.0, 3: 0.0}, share=2)
    {0: 4.0, 1: 3.0, 2: 1.0, 3: 0.0}
    """
    at = sorted(curve)
    width = max(1, len(at) // share)
    found = {}
    for index, iteration in enumerate(at):
        some = [curve[i] for i in at[max(0, index - width + 1) : index + 1]]
        found[iteration] = sum(some) / len(some)
    return found


def band(curves: Iterable[Curve]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return iterations, means and standard deviations of several curves.

    A curve keeps its value until its next point, and its last one to the end; before its first
    point it has none and counts in nothing.

    Returns
    -------
    tuple of arrays
        All of one length.

    Examples
    --------
    >>> x, mean, spread = band([{0: 1.0, 2: 0.0}, {0: 0.0, 1: 2.0}])
    >>> x.tolist(), mean.tolist(), spread.round(3).tolist()
    ([0.0, 1.0, 2.0], [0.5, 1.5, 1.0], [0.707, 0.707, 1.414])
    """
    some = [curve for curve in curves if curve]
    at = np.array(sorted({iteration for curve in some for iteration in curve}), dtype=np.float64)
    if at.size > _POINTS:
        at = at[np.unique(np.linspace(0, at.size - 1, _POINTS).round().astype(int))]
    if not at.size:
        return at, at, at
    at = at[at >= min(max(min(curve) for curve in some), at[-1])]
    lines = np.array([_held(curve, at) for curve in some])
    spread = lines.std(axis=0, ddof=1) if len(some) > 1 else np.zeros(at.size)
    return at, lines.mean(axis=0), spread


def _held(curve: Curve, at: FloatArray) -> FloatArray:
    known = np.array(sorted(curve), dtype=np.float64)
    values = np.array([curve[int(k)] for k in known])
    return values[np.clip(np.searchsorted(known, at, side="right") - 1, 0, None)]
