"""The statistics of a study: means with intervals, ranks, paired tests, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from asyndbt.errors import MissingExtraError

__all__ = ["Mean", "Paired", "average_ranks", "holm", "mean_of", "paired", "ranks"]

_LEVEL = 0.975
_CONSTANT = 1e-12
"""Standard deviations up to this are rounding."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over n values, with their standard deviation and a 95 % interval.

    `deviation`, `low` and `high` are None for a single value.
    """

    mean: float
    n: int
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """Differences of pairs: their mean with a 95 % interval, and a two-sided p-value.

    Both are None where the differences do not vary.
    """

    difference: Mean
    p: float | None


def mean_of(values: Sequence[float]) -> Mean:
    """Return mean, standard deviation (n - 1) and 95 % interval (Student's t).

    Values that do not vary have no interval: they tell nothing of how others would.

    Examples
    --------
    >>> found = mean_of([1.0, 2.0, 3.0])
    >>> found.mean, found.deviation, round(found.low, 4), round(found.high, 4)
    (2.0, 1.0, -0.4841, 4.4841)
    """
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Mean(mean, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    if deviation <= _CONSTANT:
        return Mean(mean, n, deviation)
    half = float(_stats().t.ppf(_LEVEL, n - 1)) * deviation / math.sqrt(n)
    return Mean(mean, n, deviation, mean - half, mean + half)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Compare values pair by pair: Student's t-test of their differences against 0.

    Differences that are all the same tell nothing of how others would vary, 0 or not: like a
    single pair they have neither interval nor p-value.

    Parameters
    ----------
    ours, theirs : sequence of float
        Values in the same order.

    Examples
    --------
    >>> round(paired([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]).p, 4)
    0.0742
    """
    gaps = [one - other for one, other in zip(ours, theirs, strict=True)]
    found = mean_of(gaps)
    if found.deviation is None or found.low is None:
        return Paired(found, None)
    t = found.mean / (found.deviation / math.sqrt(found.n))
    return Paired(found, float(2 * _stats().t.sf(abs(t), found.n - 1)))


def holm(p: Mapping[str, float | None]) -> dict[str, float | None]:
    """Correct p-values for there being several (Holm, Scand. J. Statist. 6:65-70, 1979).

    The i-th smallest of m is multiplied by m - i + 1, is never less than the ones before it, and
    at most 1.  What has no p-value is no test, and does not count.

    Examples
    --------
    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None})
    {'a': 0.03, 'b': 0.06, 'c': 0.06, 'd': None}
    """
    tests = sorted((value, name) for name, value in p.items() if value is not None)
    corrected: dict[str, float | None] = dict.fromkeys(p)
    least = 0.0
    for index, (value, name) in enumerate(tests):
        least = max(least, min(1.0, (len(tests) - index) * value))
        corrected[name] = least
    return corrected


def ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Rank values, the largest first; equal ones share the mean of their ranks.

    Examples
    --------
    >>> ranks({"a": 0.9, "b": 0.8, "c": 0.9, "d": 0.1})
    {'a': 1.5, 'b': 3.0, 'c': 1.5, 'd': 4.0}
    """
    # Means of the same accuracies may differ in their last digit.
    rounded = -np.round(np.array(list(values.values())), 9)
    found = _stats().rankdata(rounded, method="average")
    return dict(zip(values, found.tolist(), strict=True))


def average_ranks(columns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over columns of the ranks within each; only names in all of them have one.

    Examples
    --------
    >>> average_ranks([{"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 2.0}])
    {'a': 1.25, 'b': 1.75}
    """
    common = [name for name in columns[0] if all(name in c for c in columns)] if columns else []
    each = [ranks({name: column[name] for name in common}) for column in columns]
    return {name: math.fsum(rank[name] for rank in each) / len(each) for name in common}


def _stats() -> Any:
    try:
        return import_module("scipy.stats")
    except ImportError as error:
        raise MissingExtraError("scipy", "study") from error
