"""What the tidy table says: accuracies by method, task and seed, and what follows from them.

The statistics of a study: means with intervals, ranks, paired tests, Holm's correction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from asyndbt.errors import MissingExtraError
from asyndbt.study._cells import BOTH, FREE_OF_CALLS, OURS, CellPoint
from asyndbt.study._frame import OVERALL, Row

__all__ = [
    "Comparison",
    "Mean",
    "Paired",
    "Summary",
    "average_ranks",
    "holm",
    "mean_of",
    "paired",
    "ranks",
    "summaries",
]

BySeed = dict[int, float]
Key = tuple[str, str, str, str, int, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method against the best baseline.

    Parameters
    ----------
    overall : Paired
        Means over the tasks, paired by seed: it holds for these tasks.
    corrected : float or None
        The p-value of `overall`, corrected for the number of methods.
    by_task : dict of str to Paired
        Paired by seed.
    corrected_by_task : dict of str to float or None
        Their p-values, corrected for the number of tasks.
    """

    overall: Paired
    corrected: float | None
    by_task: dict[str, Paired]
    corrected_by_task: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of one point of the grid.

    Parameters
    ----------
    index : mapping
        Values by seed, by (method, task, split, metric, budget, mode); all sites together.
    methods, tasks : tuple of str
        In the order of the study.
    seeds : tuple of int
        Of the main tables.
    calls : int
        The budget of the main tables.
    point : Point
    mode : str
        What the methods of the main tables tune.
    """

    index: Mapping[Key, BySeed]
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    calls: int
    point: CellPoint = ()
    mode: str = BOTH

    @property
    def baselines(self) -> list[str]:
        """The methods that are not this project's."""
        return [method for method in self.methods if method not in OURS]

    # ------------------------------------------------------------------ values
    def values(
        self,
        method: str,
        task: str,
        metric: str = "accuracy",
        *,
        split: str = "test",
        calls: int | None = None,
        mode: str | None = None,
    ) -> BySeed:
        """Return a number of every seed that the budget has, all sites together."""
        budget = self.calls if calls is None or method in FREE_OF_CALLS else calls
        found = self.index.get((method, task, split, metric, budget, mode or self.mode), {})
        seeds = self.seeds_of(calls)
        return {seed: value for seed, value in found.items() if seed in seeds}

    def seeds_of(self, calls: int | None = None) -> tuple[int, ...]:
        """Return the seeds that a budget has; the further ones may have fewer."""
        if calls in (None, self.calls):
            return self.seeds
        cells = itertools.product(self.methods, self.tasks)
        keys = [(*cell, "test", "accuracy", calls, self.mode) for cell in cells]
        found = set().union(*(self.index.get(key, {}) for key in keys))
        return tuple(seed for seed in self.seeds if seed in found)

    def is_complete(self, method: str, calls: int | None = None) -> bool:
        """Whether a method has a result for every seed of a budget, on every task."""
        seeds = set(self.seeds_of(calls))
        return all(set(self.values(method, task, calls=calls)) == seeds for task in self.tasks)

    def over_tasks(self, method: str, calls: int | None = None) -> BySeed:
        """Return the mean accuracy over all tasks, of every seed that has them all."""
        each = [self.values(method, task, calls=calls) for task in self.tasks]
        seeds = set.intersection(*(set(values) for values in each))
        return {s: math.fsum(v[s] for v in each) / len(each) for s in sorted(seeds)}

    def cell(self, method: str, task: str, mode: str | None = None) -> Mean | None:
        """Return the accuracy of a method on a task, over seeds."""
        return _mean(self.values(method, task, mode=mode))

    def overall(self, method: str, calls: int | None = None) -> Mean | None:
        """Return the mean accuracy of a method over the tasks, over seeds."""
        return _mean(self.over_tasks(method, calls))

    def budgets(self) -> list[int]:
        """Return the budgets that there are, least first."""
        return sorted({budget for *_, budget, mode in self.index if mode == self.mode})

    # ------------------------------------------------------------------ what follows
    def ranks(self) -> dict[str, float]:
        """Return the average rank over tasks of every method that has all its results."""
        complete = [method for method in self.methods if self.is_complete(method)]
        cells = [{m: self.cell(m, task) for m in complete} for task in self.tasks]
        return average_ranks([{m: c.mean for m, c in column.items() if c} for column in cells])

    def best_baseline(self) -> str | None:
        """Return the baseline with the best mean accuracy over the tasks, of those with all."""
        found = {m: self.overall(m) for m in self.baselines if self.is_complete(m)}
        means = {method: mean.mean for method, mean in found.items() if mean}
        return max(means, key=lambda method: means[method], default=None)

    def difference(self, one: str, other: str) -> Paired | None:
        """Compare two methods that have all their results, by their means over the tasks."""
        if not {one, other} <= set(self.methods):
            return None
        if not (self.is_complete(one) and self.is_complete(other)):
            return None
        return _paired(self.over_tasks(one), self.over_tasks(other))

    def comparisons(self) -> dict[str, Comparison]:
        """Compare every method that has all its results with the best baseline."""
        best = self.best_baseline()
        if best is None:
            return {}
        others = [method for method in self.methods if method != best]
        overall = {method: test for method in others if (test := self.difference(method, best))}
        corrected = holm({method: test.p for method, test in overall.items()})
        return {
            method: Comparison(test, corrected[method], *self._by_task(method, best))
            for method, test in overall.items()
        }

    def _by_task(self, method: str, best: str) -> tuple[dict[str, Paired], dict[str, float | None]]:
        tests = {
            task: test
            for task in self.tasks
            if (test := _paired(self.values(method, task), self.values(best, task)))
        }
        return tests, holm({task: test.p for task, test in tests.items()})

    def train(self, method: str, task: str, metric: str) -> Mean | None:
        """Return a number of tuning itself, such as ``seconds`` or ``calls``, over seeds."""
        return _mean(self.values(method, task, metric, split="train"))


def summaries(
    rows: Sequence[Row],
    *,
    methods: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int],
    calls: int,
    mode: str = BOTH,
) -> Iterator[Summary]:
    """Yield a summary of every point of the grid, in the order of the rows."""
    by_point: dict[CellPoint, dict[Key, BySeed]] = {}
    for row in rows:
        if row.site == OVERALL:
            key = (row.method, row.task, row.split, row.metric, row.budget, row.mode)
            by_point.setdefault(row.point, {}).setdefault(key, {})[row.seed] = row.value
    for point, index in by_point.items():
        yield Summary(index, tuple(methods), tuple(tasks), tuple(seeds), calls, point, mode)


def _mean(values: BySeed) -> Mean | None:
    return mean_of(list(values.values())) if values else None


def _paired(ours: BySeed, theirs: BySeed) -> Paired | None:
    seeds = sorted(set(ours) & set(theirs))
    return paired([ours[s] for s in seeds], [theirs[s] for s in seeds]) if seeds else None


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
