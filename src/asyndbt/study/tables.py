"""The tables of a study: the paper's 3 and 4, and what the paper lacks.

Accuracies are in per cent.  Table 3 and 4 have the form of the paper's tables of the same number
(Ma et al., doi 10.1038/s41598-026-39582-5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asyndbt.study.cells import BOTH, FREE_OF_CALLS, OURS
from asyndbt.study.markup import Mark, Table, TextCell, marks
from asyndbt.study.section import POCKET
from asyndbt.study.statistics import Mean, mean_of
from asyndbt.study.summary import Summary

__all__ = ["short", "tables_of", "training_time"]

_NONE = "–"
_FEWER = "(n = ...) where seeds are missing."
_SIGNIFICANT = 0.05


def tables_of(summary: Summary, ablation: Sequence[str]) -> Iterator[Table]:
    """Yield every table for which there are numbers.

    Parameters
    ----------
    summary : Summary
    ablation : sequence of str
        Methods that were also run with demonstrations alone and with the fragment alone.
    """
    yield _accuracy(summary)
    yield from (_ablation(summary, method) for method in ablation)
    yield _intervals(summary)
    if summary.comparisons():
        yield _tests(summary)
    if len(summary.budgets()) > 1:
        yield _by_budget(summary)
    yield _spent(summary)
    if _timed(summary):
        yield _time(summary)


def short(task: str) -> str:
    """Return a task's name without where it comes from."""
    return task.removeprefix(POCKET)


def _accuracy(summary: Summary) -> Table:
    columns = [[summary.cell(m, task) for m in summary.methods] for task in summary.tasks]
    columns.append([summary.overall(m) for m in summary.methods])
    found = summary.ranks()
    ranks = [found.get(m) for m in summary.methods]
    seeds = len(summary.seeds)
    marked = [marks(_means(column, seeds)) for column in columns]
    marked.append(marks(ranks, least=True))
    texts = [[_spread(mean, seeds) for mean in column] for column in columns]
    texts.append([_NONE if rank is None else f"{rank:.2f}" for rank in ranks])
    return Table(
        "table3",
        "Table 3. Accuracy on the test split, per cent",
        ["method", *map(short, summary.tasks), "mean", "average rank"],
        _rows(summary.methods, texts, marked),
        "Mean ± standard deviation over seeds. Best bold, second underlined. The rank is that of "
        f"the mean, averaged over tasks; ties share it. {_FEWER}",
    )


def _ablation(summary: Summary, method: str) -> Table:
    rows, seeds = [], len(summary.seeds)
    for task in summary.tasks:
        modes = [summary.cell(method, task, mode) for mode in (BOTH, "demonstrations", "fragment")]
        plain = summary.values(method, task, "plain_accuracy")
        cells = [*modes, mean_of(list(plain.values())) if plain else None]
        marked, texts = marks(_means(cells, seeds)), [_spread(c, seeds) for c in cells]
        rows.append([TextCell(short(task)), *map(TextCell, texts, marked)])
    return Table(
        f"table4-{method}",
        f"Table 4. What the gain comes from: {method}, accuracy on the test split, per cent",
        ["task", "both", "demonstrations only", "fragment only", "plain"],
        rows,
        "Mean ± standard deviation over seeds. Best bold, second underlined, in every row. "
        f"{_FEWER}",
    )


def _intervals(summary: Summary) -> Table:
    columns = [[summary.cell(m, task) for m in summary.methods] for task in summary.tasks]
    columns.append([summary.overall(m) for m in summary.methods])
    seeds = len(summary.seeds)
    texts = [[_interval(mean) + _fewer(mean, seeds) for mean in column] for column in columns]
    return Table(
        "intervals",
        "Accuracy with 95 % intervals, per cent",
        ["method", *map(short, summary.tasks), "mean"],
        _rows(summary.methods, texts, [[""] * len(summary.methods)] * len(texts)),
        "Student's t over seeds: what another draw of data and prompts would change, on the same "
        f"test rows. {_FEWER}",
    )


def _tests(summary: Summary) -> Table:
    rows = []
    for method, found in summary.comparisons().items():
        cells = [
            method,
            _interval(found.overall.difference, sign="+"),
            _p(found.overall.p),
            _p(found.corrected),
        ]
        for task in summary.tasks:
            test, p = found.by_task.get(task), found.corrected_by_task.get(task)
            star = "*" if p is not None and p < _SIGNIFICANT else ""
            cells.append(f"{100 * test.difference.mean:+.1f}{star}" if test else _NONE)
        rows.append(list(map(TextCell, cells)))
    return Table(
        "tests",
        f"Against the best baseline, {summary.best_baseline()}: difference of accuracies, points",
        ["method", "mean over tasks", "p", "p (Holm)", *map(short, summary.tasks)],
        rows,
        "Paired t-tests, by seed; the first p is that of the mean over tasks, Holm's correction "
        "there is for the number of methods. * for p < 0.05 after Holm's correction for the number "
        "of tasks.",
    )


def _by_budget(summary: Summary) -> Table:
    budgets = summary.budgets()
    columns = [[summary.overall(m, calls) for m in summary.methods] for calls in budgets]
    seeds = [len(summary.seeds_of(calls)) for calls in budgets]
    texts = [[_spread(m, n) for m in column] for column, n in zip(columns, seeds, strict=True)]
    marked = [marks(_means(column, n)) for column, n in zip(columns, seeds, strict=True)]
    free = [method for method in summary.methods if method in FREE_OF_CALLS]
    note = f" {', '.join(free)}: no calls for tuning, the same runs throughout." if free else ""
    return Table(
        "budgets",
        "Accuracy by calls of a site for tuning and choosing, mean over tasks, per cent",
        ["method", *(f"{calls:,}" for calls in budgets)],
        _rows(summary.methods, texts, marked),
        "Mean ± standard deviation over the seeds that a budget has: "
        f"{', '.join(f'{n} at {calls:,}' for calls, n in zip(budgets, seeds, strict=True))}. – "
        f"where the budget is too small for the method. {_FEWER}{note}",
    )


def _spent(summary: Summary) -> Table:
    columns = [
        [summary.train(method, task, "calls") for method in summary.methods]
        for task in summary.tasks
    ]
    seeds = len(summary.seeds)
    texts = [
        [f"{mean.mean:,.0f}{_fewer(mean, seeds)}" if mean else _NONE for mean in column]
        for column in columns
    ]
    return Table(
        "calls",
        f"Calls spent on tuning and choosing, all sites together, of {summary.calls:,} a site",
        ["method", *map(short, summary.tasks)],
        _rows(summary.methods, texts, [[""] * len(summary.methods)] * len(texts)),
        "Mean over seeds. A method spends less than it may where a further step might not fit, or "
        f"where it has nothing left to ask. {_FEWER}",
    )


def training_time(summary: Summary) -> list[tuple[str, Mean, Mean]]:
    """Return by task the seconds that tuning took, asynchronous and centralised, same seeds."""
    found = []
    for task in summary.tasks:
        ours, pooled = (summary.values(method, task, "seconds", split="train") for method in OURS)
        if both := sorted(set(ours) & set(pooled)):
            means = (mean_of([values[seed] for seed in both]) for values in (ours, pooled))
            found.append((task, next(means), next(means)))
    return found


def _timed(summary: Summary) -> bool:
    return any(pooled.mean for _, _, pooled in training_time(summary))


def _time(summary: Summary) -> Table:
    rows = []
    for task, ours, pooled in training_time(summary):
        saved = 1 - ours.mean / pooled.mean if pooled.mean else 0.0
        cells = [short(task), f"{ours.mean:,.0f}", f"{pooled.mean:,.0f}", f"{100 * saved:.0f} %"]
        rows.append(list(map(TextCell, cells)))
    return Table(
        "time",
        "Training time of Figure 1, seconds on the virtual clock of the run",
        ["task", "asyndbt", "cendbt", "saved"],
        rows,
        "Mean over the seeds that both have, until tuning ended, with the same calls in total. A "
        "step takes as long where all data are as at a site; sites work side by side.",
    )


# ---------------------------------------------------------------------- cells
def _rows(
    names: Sequence[str], columns: Sequence[Sequence[str]], marked: Sequence[Sequence[Mark]]
) -> list[list[TextCell]]:
    return [
        [TextCell(name), *(TextCell(c[i], m[i]) for c, m in zip(columns, marked, strict=True))]
        for i, name in enumerate(names)
    ]


def _means(found: Sequence[Mean | None], seeds: int) -> list[float | None]:
    """Return the means that may be compared: those over all seeds."""
    return [mean.mean if mean and mean.n == seeds else None for mean in found]


def _fewer(mean: Mean | None, seeds: int) -> str:
    return f" (n = {mean.n})" if mean and mean.n < seeds else ""


def _spread(mean: Mean | None, seeds: int) -> str:
    if mean is None:
        return _NONE
    spread = "" if mean.deviation is None else f" ± {100 * mean.deviation:.1f}"
    return f"{100 * mean.mean:.1f}{spread}{_fewer(mean, seeds)}"


def _interval(mean: Mean | None, sign: str = "") -> str:
    if mean is None:
        return _NONE
    text = f"{100 * mean.mean:{sign}.1f}"
    if mean.low is None or mean.high is None:
        return text
    # An accuracy has ends; a difference, which has a sign, has others.
    low, high = (mean.low, mean.high) if sign else (max(0.0, mean.low), min(1.0, mean.high))
    return f"{text} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def _p(p: float | None) -> str:
    if p is None:
        return _NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
