"""What the figures of a study say, in sentences made from them; also where a baseline wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from asyndbt.study.cells import OURS
from asyndbt.study.statistics import Mean
from asyndbt.study.summary import Summary
from asyndbt.study.tables import short, training_time

__all__ = ["reading"]

_SIGNIFICANT = 0.05


def reading(summary: Summary) -> str:
    """Return a paragraph on a summary: ranks, the best baseline, every place where one wins."""
    return " ".join(
        (
            *_sides(summary),
            *_missing(summary),
            *_ranks(summary),
            *_best(summary),
            *_pooled(summary),
            *_wins(summary),
            *_budgets(summary),
            *_time(summary),
        )
    )


def _ours(summary: Summary) -> list[str]:
    return [method for method in summary.methods if method in OURS]


def _sides(summary: Summary) -> Iterator[str]:
    """Say what counts as a baseline."""
    ours = _ours(summary)
    if ours and summary.baselines:
        verb = "counts" if len(ours) == 1 else "count"
        yield f"{' and '.join(ours)} {verb} as ours, everything else as a baseline."


def _missing(summary: Summary) -> Iterator[str]:
    """Name the methods that are compared with nothing."""
    names = [method for method in summary.methods if not summary.is_complete(method)]
    if names:
        verb = "lacks" if len(names) == 1 else "lack"
        yield (
            f"{', '.join(names)} {verb} results of some seeds or tasks, and so rank and comparison."
        )


def _ranks(summary: Summary) -> Iterator[str]:
    ranks = sorted(summary.ranks().items(), key=lambda item: item[1])
    if len(ranks) < 2:
        return
    said = ", then ".join(f"{method} ({rank:.2f})" for method, rank in ranks[:3])
    yield f"By average rank over {_count(len(summary.tasks), 'task')} the order is {said}."
    ahead = [
        m for m, rank in ranks if m not in OURS and rank < max(dict(ranks).get(o, 0) for o in OURS)
    ]
    if ahead:
        yield f"Ahead of one of ours by rank: {', '.join(ahead)}."


def _best(summary: Summary) -> Iterator[str]:
    best, tests = summary.best_baseline(), summary.comparisons()
    mean = summary.overall(best) if best else None
    if best is None or mean is None:
        return
    yield f"The best baseline is {best} with {100 * mean.mean:.1f} % on average."
    for method in _ours(summary):
        if method not in tests:
            continue
        gap, p = tests[method].overall.difference, tests[method].corrected
        corrected = " after correction"
        yield f"{method} is {_gap(gap)} it{_interval(gap)}{_sure(p, corrected)}."


def _pooled(summary: Summary) -> Iterator[str]:
    """Compare the two that are ours: what it costs that data stay where they are."""
    apart, pooled = OURS
    test = summary.difference(apart, pooled)
    if test:
        gap = test.difference
        yield (
            f"{apart} is {_gap(gap)} {pooled}, which has all data at one place"
            f"{_interval(gap)}{_sure(test.p)}."
        )


def _gap(gap: Mean) -> str:
    side = "ahead of" if gap.mean > 0 else "behind" if gap.mean < 0 else "level with"
    return f"{abs(100 * gap.mean):.1f} points {side}"


def _sure(p: float | None, corrected: str = "") -> str:
    if p is None:
        return ""
    said = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f", {said}{corrected}" + ("" if p < _SIGNIFICANT else ", which may be chance")


def _interval(gap: Mean) -> str:
    if gap.low is None or gap.high is None:
        return ""
    return f" [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


def _wins(summary: Summary) -> Iterator[str]:
    """Name every task on which a baseline is ahead of one of ours."""
    for ours in _ours(summary) if summary.baselines else ():
        means = {task: _full(summary, task) for task in summary.tasks}
        unknown = [short(task) for task in summary.tasks if ours not in means[task]]
        if unknown:
            yield f"{ours} lacks results on {', '.join(unknown)}, where nothing is said of it."
        lost = [
            f"{short(task)} ({method}, by {points:.1f} points)"
            for task in summary.tasks
            for method, points in _ahead(means[task], ours)
        ]
        if lost:
            count = _count(len(lost), "task")
            yield f"A baseline wins against {ours} on {count}: {', '.join(lost)}."
        elif len(unknown) < len(summary.tasks):
            yield f"No baseline is ahead of {ours} on any {'other ' if unknown else ''}task."


def _full(summary: Summary, task: str) -> dict[str, float]:
    """Return the means on a task of the methods that have all seeds."""
    cells = {method: summary.cell(method, task) for method in summary.methods}
    return {m: c.mean for m, c in cells.items() if c and c.n == len(summary.seeds)}


def _ahead(means: Mapping[str, float], ours: str) -> Iterator[tuple[str, float]]:
    """Yield the best baseline and by how many points it is ahead, if it is."""
    others = {method: mean for method, mean in means.items() if method not in OURS}
    if ours in means and others:
        best = max(others, key=lambda method: others[method])
        if others[best] > means[ours] + 1e-9:
            yield best, 100 * (others[best] - means[ours])


def _budgets(summary: Summary) -> Iterator[str]:
    """Name every budget at which a baseline is ahead of the best of ours."""
    budgets = summary.budgets()
    if len(budgets) < 2 or not summary.baselines or not _ours(summary):
        return
    lost, unknown = [], []
    for calls in budgets:
        complete = [method for method in summary.methods if summary.is_complete(method, calls)]
        means = {m: mean.mean for m in complete if (mean := summary.overall(m, calls))}
        own = [method for method in _ours(summary) if method in means]
        if own:
            ours = max(own, key=lambda method: means[method])
            lost += [
                f"{calls:,} calls ({method}, by {points:.1f} points)"
                for method, points in _ahead(means, ours)
            ]
        else:
            unknown.append(f"{calls:,}")
    if unknown:
        yield f"At {', '.join(unknown)} calls none of ours has all its results."
    if lost:
        yield f"A baseline has the best mean accuracy at {', '.join(lost)}."
    elif not unknown:
        yield f"At each of the budgets from {budgets[0]:,} calls up one of ours has the best mean."


def _time(summary: Summary) -> Iterator[str]:
    saved = [
        1 - ours.mean / pooled.mean for _, ours, pooled in training_time(summary) if pooled.mean
    ]
    if saved:
        mean = 100 * sum(saved) / len(saved)
        side = "less" if mean >= 0 else "more"
        yield f"Tuning takes asyndbt {abs(mean):.0f} % {side} time than cendbt (Figure 1)."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
