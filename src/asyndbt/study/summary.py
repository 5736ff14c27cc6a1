"""What the tidy table says: accuracies by method, task and seed, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from asyndbt.study.cells import BOTH, FREE_OF_CALLS, OURS, Point
from asyndbt.study.rows import OVERALL, Row
from asyndbt.study.statistics import Mean, Paired, average_ranks, holm, mean_of, paired

__all__ = ["Comparison", "Summary", "summaries"]

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
    calls : int
        The budget of the main tables.
    point : Point
    mode : str
        What the methods of the main tables tune.
    """

    index: Mapping[Key, BySeed]
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    calls: int
    point: Point = ()
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
        """Return a number of every seed, all sites together."""
        budget = self.calls if calls is None or method in FREE_OF_CALLS else calls
        return self.index.get((method, task, split, metric, budget, mode or self.mode), {})

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
        """Return the average rank over tasks of every method that has a value on all of them."""
        found = {m: [self.cell(m, task) for task in self.tasks] for m in self.methods}
        complete = {m: [c.mean for c in cells if c] for m, cells in found.items() if all(cells)}
        return average_ranks(
            [{m: means[i] for m, means in complete.items()} for i in range(len(self.tasks))]
        )

    def best_baseline(self) -> str | None:
        """Return the baseline with the best mean accuracy over the tasks."""
        found = {method: self.overall(method) for method in self.baselines}
        means = {method: mean.mean for method, mean in found.items() if mean}
        return max(means, key=lambda method: means[method], default=None)

    def comparisons(self) -> dict[str, Comparison]:
        """Compare every method with the best baseline, where there are pairs."""
        best = self.best_baseline()
        if best is None:
            return {}
        others = [method for method in self.methods if method != best]
        overall = {
            method: test
            for method in others
            if (test := _paired(self.over_tasks(method), self.over_tasks(best)))
        }
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
    calls: int,
    mode: str = BOTH,
) -> Iterator[Summary]:
    """Yield a summary of every point of the grid, in the order of the rows."""
    by_point: dict[Point, dict[Key, BySeed]] = {}
    for row in rows:
        if row.site == OVERALL:
            key = (row.method, row.task, row.split, row.metric, row.budget, row.mode)
            by_point.setdefault(row.point, {}).setdefault(key, {})[row.seed] = row.value
    for point, index in by_point.items():
        yield Summary(index, tuple(methods), tuple(tasks), calls, point, mode)


def _mean(values: BySeed) -> Mean | None:
    return mean_of(list(values.values())) if values else None


def _paired(ours: BySeed, theirs: BySeed) -> Paired | None:
    seeds = sorted(set(ours) & set(theirs))
    return paired([ours[s] for s in seeds], [theirs[s] for s in seeds]) if seeds else None
