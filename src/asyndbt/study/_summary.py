"""Statistics of a study's results: means with intervals, ranks and paired tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import pandas as pd
from scipy import stats

from asyndbt.study._cells import BOTH, Point, is_baseline, needs_calls
from asyndbt.study._frame import OVERALL, grid_keys

DIGITS = 9
"""Beyond these, means of equal accuracies may differ."""
_CONSTANT = 1e-12
"""Standard deviations up to this are rounding errors."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over n values, with standard deviation and 95 % interval.

    `deviation` is None for a single value; `low` and `high` are None if the values do not vary.
    """

    mean: float
    n: int
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """Differences of pairs: their mean with a 95 % interval, and a two-sided p-value.

    The interval and the p-value are None if the differences do not vary.
    """

    difference: Mean
    p: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method against a reference, paired by seed.

    `overall` compares means over the tasks, an inference about these tasks only; its p-value is
    `corrected` for the number of methods, those of `by_task` for the number of tasks.
    """

    overall: Paired
    corrected: float | None
    by_task: dict[str, Paired]
    corrected_by_task: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of all sites together at one point of the grid.

    `seeds`, `calls` and `mode` are those of the main tables.
    """

    results: pd.DataFrame
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    calls: int
    point: Point = ()
    mode: str = BOTH
    _found: dict[tuple[str, str, int | None, str | None], pd.DataFrame] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def ours(self) -> list[str]:
        return [method for method in self.methods if not is_baseline(method)]

    @property
    def baselines(self) -> list[str]:
        return [method for method in self.methods if is_baseline(method)]

    def values(
        self,
        metric: str = "accuracy",
        *,
        split: str = "test",
        calls: int | None = None,
        mode: str | None = None,
    ) -> pd.DataFrame:
        """Return a metric at a budget, by default that of the main tables.

        The shape is (seeds, methods x tasks), with NaN for missing results. A method that needs no
        calls has the same results at every budget. The tables ask for the same values many times.
        """
        wanted = (metric, split, calls, mode)
        if wanted not in self._found:
            self._found[wanted] = self._values(*wanted)
        return self._found[wanted]

    def _values(self, metric: str, split: str, calls: int | None, mode: str | None) -> pd.DataFrame:
        budget = {
            method: self.calls if calls is None or not needs_calls(method) else calls
            for method in self.methods
        }
        found = self.results
        found = found[
            (found["metric"] == metric)
            & (found["split"] == split)
            & (found["mode"] == (mode or self.mode))
            & (found["budget"] == found["method"].map(budget))
        ]
        # A method that pools the data has one site, named like all sites together.
        table = found.pivot_table("value", "seed", ["method", "task"], aggfunc="last")
        columns = pd.MultiIndex.from_product([self.methods, self.tasks])
        return table.reindex(index=self.seeds_of(calls), columns=columns)

    def seeds_of(self, calls: int | None = None) -> list[int]:
        """Return the seeds that a budget has; the further ones may have fewer."""
        if calls in (None, self.calls):
            return list(self.seeds)
        found = self.results
        known = set(found["seed"][(found["budget"] == calls) & (found["mode"] == self.mode)])
        return [seed for seed in self.seeds if seed in known]

    def budgets(self) -> list[int]:
        """Return the budgets that have results, in increasing order."""
        return sorted(set(self.results["budget"][self.results["mode"] == self.mode].tolist()))

    def complete(self, calls: int | None = None) -> list[str]:
        """Return the methods that have a result for every seed of a budget, on every task."""
        known = self.values(calls=calls).notna().all()
        return [method for method in self.methods if known[method].all()]

    def over_tasks(self, calls: int | None = None) -> pd.DataFrame:
        """Return the mean accuracy over tasks, shape (seeds, methods); NaN if one is missing."""
        values = self.values(calls=calls)
        return pd.DataFrame({m: values[m].apply(fmean, axis=1) for m in self.methods})

    def ranks(self) -> pd.Series:
        """Return the average rank over tasks of the methods with all their results."""
        return average_ranks(self.values().mean().unstack().loc[self.complete()])

    def best_baseline(self) -> str | None:
        """Return the baseline with all its results and the best mean accuracy."""
        found = means(self.over_tasks())
        complete = [method for method in self.complete() if is_baseline(method)]
        return max(complete, key=lambda method: found[method].mean, default=None)

    def comparisons(
        self, reference: str, methods: Sequence[str] | None = None
    ) -> dict[str, Comparison]:
        """Compare methods, by default all that have all their results, with a reference."""
        values, over_tasks = self.values(), self.over_tasks()
        others = methods or [method for method in self.complete() if method != reference]
        overall = {m: paired(over_tasks[m], over_tasks[reference]) for m in others}
        corrected = holm({method: test.p for method, test in overall.items()})
        found = {}
        for method in others:
            by_task = {t: paired(values[method, t], values[reference, t]) for t in self.tasks}
            by_task_corrected = holm({task: test.p for task, test in by_task.items()})
            found[method] = Comparison(
                overall[method], corrected[method], by_task, by_task_corrected
            )
        return found


def summaries(
    results: pd.DataFrame,
    *,
    methods: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int],
    calls: int,
    mode: str = BOTH,
) -> Iterator[Summary]:
    """Yield a summary of every point of the grid, in the order of the rows."""
    together, keys = results[results["site"] == OVERALL], grid_keys(results)
    points = [tuple(zip(keys, values, strict=True)) for values in together[keys].to_numpy()]
    for point in dict.fromkeys(points):
        part = together[[each == point for each in points]]
        yield Summary(part, tuple(methods), tuple(tasks), tuple(seeds), calls, point, mode)


def means(values: pd.DataFrame) -> dict[Any, Mean]:
    """Return the mean over seeds of every column that has any value."""
    found = {name: values[name].dropna().tolist() for name in values}
    return {name: mean_of(some) for name, some in found.items() if some}


def mean_of(values: Sequence[float]) -> Mean:
    """Return mean, standard deviation (n - 1) and 95 % interval (Student's t).

    Values that do not vary have no interval: they say nothing about further values.

    Examples
    --------
    >>> found = mean_of([1.0, 2.0, 3.0])
    >>> found.mean, found.deviation, round(found.low, 4), round(found.high, 4)
    (2.0, 1.0, -0.4841, 4.4841)
    """
    n, mean = len(values), fmean(values)
    deviation = stdev(values) if n > 1 else None
    if deviation is None or deviation <= _CONSTANT:
        return Mean(mean, n, deviation)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval()
    return Mean(mean, n, deviation, float(low), float(high))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Compare values pair by pair: Student's t-test of their differences against 0.

    Differences that do not vary, 0 or not, have neither interval nor p-value.

    Examples
    --------
    >>> round(paired([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]).p, 4)
    0.0742
    """
    difference = mean_of([float(one - other) for one, other in zip(ours, theirs, strict=True)])
    if difference.low is None:
        return Paired(difference, None)
    return Paired(difference, float(stats.ttest_rel(ours, theirs).pvalue))


def holm(p: Mapping[str, float | None]) -> dict[str, float | None]:
    """Correct p-values for their number (Holm, Scand. J. Statist. 6:65-70, 1979).

    The i-th smallest of m is multiplied by m - i + 1, is at least the previous one and at most 1.
    None is no test, and does not count.

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


def average_ranks(values: pd.DataFrame) -> pd.Series:
    """Return the mean over columns of the ranks within each; the largest value ranks first.

    Equal values share the mean of their ranks. Rows with a missing value are left out.

    Examples
    --------
    >>> values = pd.DataFrame({"x": {"a": 2.0, "b": 1.0}, "y": {"a": 2.0, "b": 2.0}})
    >>> average_ranks(values).to_dict()
    {'a': 1.25, 'b': 1.75}
    """
    return values.dropna().round(DIGITS).rank(ascending=False).mean(axis=1)
