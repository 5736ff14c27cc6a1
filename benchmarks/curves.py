"""Accuracy as a function of model calls, over seeds. Not a benchmark itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Track", "checkpoints", "first", "mean_curve"]


@dataclass(frozen=True, slots=True)
class Track:
    """Accuracies (per cent) by calls, and the plain prompt's."""

    plain: float
    curve: list[tuple[int, float]]


def checkpoints(calls: int) -> list[int]:
    """Numbers of calls at which to look: every 100, above 2,000 each 5 % more than the last."""
    marks = list(range(100, min(calls, 2_000) + 1, 100))
    while marks[-1] * 1.05 <= calls:
        marks.append(int(marks[-1] * 1.05))
    return marks


def mean_curve(tracks: list[Track], marks: list[int]) -> list[float]:
    """Mean over seeds at the checkpoints: the latest value not later, the plain prompt's before."""
    rows = []
    for track in tracks:
        known = np.array([0, *(calls for calls, _ in track.curve)])
        values = np.array([track.plain, *(accuracy for _, accuracy in track.curve)])
        rows.append(values[np.searchsorted(known, marks, side="right") - 1])
    return [float(value) for value in np.mean(rows, axis=0)]


def first(curve: list[float], marks: list[int], level: float, limit: int) -> int | None:
    """First checkpoint at the level from which on the curve, to its end, is there on average."""
    own = [value for mark, value in zip(marks, curve, strict=True) if mark <= limit]
    for index, value in enumerate(own):
        if value >= level and float(np.mean(own[index:])) >= level:
            return marks[index]
    return None
