"""The tables of a study, as Markdown and as LaTeX: the paper's 3 and 4, and further ones.

Accuracies are in per cent. Tables 3 and 4 have the form of the paper's (Ma et al., doi
10.1038/s41598-026-39582-5). The best of a group is bold, the second underlined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from asyndbt.run import HALVES
from asyndbt.study._cells import BOTH, needs_calls
from asyndbt.study._file import POCKET
from asyndbt.study._summary import DIGITS, Mean, Summary, mean_of, means, paired

Mark = Literal["", "best", "second"]

NONE = "–"
_FEWER = "(n = ...) where seeds are missing."
_SIGNIFICANT = 0.05
_LOCAL, _POOLED = "asyndbt", "cendbt"
"""The methods of Figure 1: data at the sites, and pooled."""
_SPECIAL: Final = {"\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "<": "$<$", "−": "$-$"}


@dataclass(frozen=True, slots=True)
class TextCell:
    """A cell of a table: its text, and how it is emphasised."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table: the name of its files, its title, head and rows, and a note on how to read it."""

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[TextCell]]
    note: str = ""


def tables_of(
    summary: Summary, ablation: Sequence[str], parts: Sequence[str] = ()
) -> Iterator[TextTable]:
    """Yield every table for which there are numbers.

    The methods of `ablation` were also run with demonstrations alone and with the fragment alone;
    of those in `parts` the halves of the best run were asked alone.
    """
    yield _accuracy(summary)
    yield from (_ablation(summary, method) for method in ablation)
    yield from (_parts(summary, method) for method in parts)
    yield _intervals(summary)
    best = summary.best_baseline()
    if best and len(summary.complete()) > 1:
        title = f"Against the best baseline, {best}: difference of accuracies, points"
        yield _tests(summary, "tests", title, best)
    if {_LOCAL, _POOLED} <= set(summary.complete()):
        title = f"{_LOCAL} against {_POOLED}, which has all data at one place: difference, points"
        yield _tests(summary, "pooled", title, _POOLED, [_LOCAL])
    if summary.ours and summary.baselines:
        yield _wins(summary)
        yield _losses(summary)
    if len(summary.budgets()) > 1:
        yield _by_budget(summary)
    yield _spent(summary)
    if any(pooled.mean for _, _, pooled in training_time(summary)):
        yield _time(summary)


def short(task: str) -> str:
    """Return a task's name without the prefix of demo tasks."""
    return task.removeprefix(POCKET)


def _accuracy(summary: Summary) -> TextTable:
    columns, seeds = _by_task(summary), len(summary.seeds)
    found = summary.ranks()
    ranks = [found.get(method) for method in summary.methods]
    marked = [marks(_comparable(column, seeds)) for column in columns]
    texts = [[_spread(mean, seeds) for mean in column] for column in columns]
    return TextTable(
        "table3",
        "Table 3. Accuracy on the test split, per cent",
        ["method", *map(short, summary.tasks), "mean", "average rank"],
        _rows(
            summary.methods,
            [*texts, [NONE if rank is None else f"{rank:.2f}" for rank in ranks]],
            [*marked, marks(ranks, least=True)],
        ),
        "Mean ± standard deviation over seeds. Best bold, second underlined. The rank is that of "
        f"the mean, averaged over tasks; ties share it. {_FEWER}",
    )


def _ablation(summary: Summary, method: str) -> TextTable:
    columns = [means(summary.values(mode=mode)) for mode in (BOTH, *HALVES)]
    columns.append(means(summary.values("plain_accuracy")))
    rows, seeds = [], len(summary.seeds)
    for task in summary.tasks:
        cells = [column.get((method, task)) for column in columns]
        marked, texts = marks(_comparable(cells, seeds)), [_spread(c, seeds) for c in cells]
        rows.append([TextCell(short(task)), *map(TextCell, texts, marked)])
    return TextTable(
        f"table4-{method}",
        f"Table 4. What the gain comes from: {method}, accuracy on the test split, per cent",
        ["task", "both", "demonstrations only", "fragment only", "plain"],
        rows,
        "Mean ± standard deviation over seeds. Best bold, second underlined, in every row. "
        f"{_FEWER}",
    )


def _parts(summary: Summary, method: str) -> TextTable:
    accuracies, rows = summary.values(), []
    columns = [summary.values(f"{kind}_accuracy") for kind in (*HALVES, "plain")]
    for task in summary.tasks:
        whole = accuracies[method, task]
        # An earlier command, with fewer seeds, may have asked for the halves of another run.
        known = whole[columns[0][method, task].notna()]
        best = known.idxmax() if len(known) else None
        found = [
            None if best is None else mean_of([float(column[method, task][best])])
            for column in (accuracies, *columns)
        ]
        texts, marked = [_spread(each, 1) for each in found], marks(_comparable(found, 1))
        seed = TextCell(NONE if best is None else str(best))
        rows.append([TextCell(short(task)), seed, *map(TextCell, texts, marked)])
    return TextTable(
        f"table4-parts-{method}",
        f"Table 4, of one run. The halves of the best run of {method}, each asked alone, accuracy "
        "on the test split, per cent",
        ["task", "seed", "both", "demonstrations alone", "fragment alone", "plain"],
        rows,
        "As the paper made it: of the run with the best accuracy on the test split. That choice "
        "favours the column of both, and a half was tuned beside the other: compare with the table "
        "of halves tuned alone. Best bold, second underlined, in every row.",
    )


def _intervals(summary: Summary) -> TextTable:
    seeds = len(summary.seeds)
    texts = [
        [interval_text(mean) + _fewer(mean, seeds) for mean in column]
        for column in _by_task(summary)
    ]
    return TextTable(
        "intervals",
        "Accuracy with 95 % intervals, per cent",
        ["method", *map(short, summary.tasks), "mean"],
        _rows(summary.methods, texts),
        "Student's t over seeds: what another draw of data and prompts would change, on the same "
        f"test rows. {_FEWER}",
    )


def _tests(
    summary: Summary, name: str, title: str, reference: str, methods: Sequence[str] | None = None
) -> TextTable:
    rows = []
    for method, found in summary.comparisons(reference, methods).items():
        cells = [
            method,
            interval_text(found.overall.difference, sign="+"),
            _p(found.overall.p),
            _p(found.corrected),
        ]
        for task in summary.tasks:
            p = found.corrected_by_task[task]
            star = "*" if p is not None and p < _SIGNIFICANT else ""
            cells.append(f"{100 * found.by_task[task].difference.mean:+.1f}{star}")
        rows.append(list(map(TextCell, cells)))
    return TextTable(
        name,
        title,
        ["method", "mean over tasks", "p", "p (Holm)", *map(short, summary.tasks)],
        rows,
        "Paired t-tests, by seed; the first p is that of the mean over tasks, Holm's correction "
        "there is for the number of methods. * for p < 0.05 after Holm's correction for the number "
        "of tasks.",
    )


def _wins(summary: Summary) -> TextTable:
    rows = [
        [TextCell(other), *(TextCell(_score(summary, method, other)) for method in summary.ours)]
        for other in summary.baselines
    ]
    return TextTable(
        "wins",
        "Tasks on which ours are ahead of a baseline, level with it, and behind it",
        ["baseline", *summary.ours],
        rows,
        "By the mean over seeds. (n = ...) where not every task has all seeds of both.",
    )


def _score(summary: Summary, ours: str, other: str) -> str:
    values = summary.values()
    gaps = (values[ours].mean() - values[other].mean()).round(DIGITS)
    gaps = gaps[values[ours].notna().all() & values[other].notna().all()]
    if gaps.empty:
        return NONE
    counted = " / ".join(str(int(part.sum())) for part in (gaps > 0, gaps == 0, gaps < 0))
    return counted + (f" (n = {len(gaps)})" if len(gaps) < len(summary.tasks) else "")


def _losses(summary: Summary) -> TextTable:
    values = summary.values()
    places = {short(task): values.xs(task, axis=1, level=1) for task in summary.tasks}
    for calls in summary.budgets():
        places[f"mean over tasks, {calls:,} calls"] = summary.over_tasks(calls)
    rows = []
    for ours in summary.ours:
        found = [
            row for place, some in places.items() for row in _ahead(summary, ours, place, some)
        ]
        rows += found or [[ours, "nowhere", NONE, NONE, NONE]]
    return TextTable(
        "losses",
        "Where a baseline is ahead of ours, accuracy on the test split, points",
        ["ours", "where", "baseline", "ahead by", "seeds"],
        [list(map(TextCell, row)) for row in rows],
        f"Every baseline whose mean over seeds is higher, with 95 % intervals paired by seed; "
        f"not corrected for the number of comparisons. {NONE} where ours lacks seeds.",
    )


def _ahead(summary: Summary, ours: str, place: str, values: pd.DataFrame) -> Iterator[list[str]]:
    """Yield a row for every baseline that is ahead at a place, or one for missing seeds.

    `values` has shape (seeds, methods).
    """
    known = values[ours].notna()
    if not known.all():
        yield [ours, place, NONE, NONE, f"{known.sum()} of {len(known)}"]
        return
    for other in summary.baselines:
        if values[other].notna().all():
            gap = paired(values[other], values[ours]).difference
            if round(gap.mean, DIGITS) > 0:
                yield [ours, place, other, interval_text(gap, sign="+"), str(gap.n)]


def _by_budget(summary: Summary) -> TextTable:
    budgets = summary.budgets()
    found = [means(summary.over_tasks(calls)) for calls in budgets]
    columns = [[column.get(method) for method in summary.methods] for column in found]
    seeds = [len(summary.seeds_of(calls)) for calls in budgets]
    texts = [[_spread(m, n) for m in column] for column, n in zip(columns, seeds, strict=True)]
    marked = [marks(_comparable(column, n)) for column, n in zip(columns, seeds, strict=True)]
    free = [method for method in summary.methods if not needs_calls(method)]
    note = f" {', '.join(free)}: no calls for tuning, the same runs throughout." if free else ""
    return TextTable(
        "budgets",
        "Accuracy by calls of a site for tuning and choosing, mean over tasks, per cent",
        ["method", *(f"{calls:,}" for calls in budgets)],
        _rows(summary.methods, texts, marked),
        "Mean ± standard deviation over the seeds that a budget has: "
        f"{', '.join(f'{n} at {calls:,}' for calls, n in zip(budgets, seeds, strict=True))}. – "
        f"where the budget is too small for the method. {_FEWER}{note}",
    )


def _spent(summary: Summary) -> TextTable:
    found, seeds = means(summary.values("calls", split="train")), len(summary.seeds)
    texts = [
        [
            f"{mean.mean:,.0f}{_fewer(mean, seeds)}" if mean else NONE
            for mean in (found.get((method, task)) for method in summary.methods)
        ]
        for task in summary.tasks
    ]
    return TextTable(
        "calls",
        f"Calls spent on tuning and choosing, all sites together, of {summary.calls:,} a site",
        ["method", *map(short, summary.tasks)],
        _rows(summary.methods, texts),
        "Mean over seeds. A method spends less than it may where a further step might not fit, or "
        f"where it has nothing left to ask. {_FEWER}",
    )


def training_time(summary: Summary) -> list[tuple[str, Mean, Mean]]:
    """Return by task the seconds of tuning, asynchronous and centralised, for the same seeds."""
    if not {_LOCAL, _POOLED} <= set(summary.methods):
        return []
    seconds = summary.values("seconds", split="train")
    found = []
    for task in summary.tasks:
        both = seconds[[(_LOCAL, task), (_POOLED, task)]].dropna()
        if len(both):
            mean = means(both)
            found.append((task, mean[_LOCAL, task], mean[_POOLED, task]))
    return found


def _time(summary: Summary) -> TextTable:
    rows = []
    for task, local, pooled in training_time(summary):
        saved = 1 - local.mean / pooled.mean if pooled.mean else 0.0
        cells = [short(task), f"{local.mean:,.0f}", f"{pooled.mean:,.0f}", f"{100 * saved:.0f} %"]
        rows.append(list(map(TextCell, cells)))
    return TextTable(
        "time",
        "Training time of Figure 1, seconds on the virtual clock of the run",
        ["task", _LOCAL, _POOLED, "saved"],
        rows,
        "Mean over the seeds that both have, until tuning ended, with the same calls in total. A "
        "step takes as long where all data are as at a site; sites work side by side.",
    )


def _by_task(summary: Summary) -> list[list[Mean | None]]:
    """Return the methods' accuracies on every task, and their means over the tasks."""
    found, overall = means(summary.values()), means(summary.over_tasks())
    columns = [[found.get((method, task)) for method in summary.methods] for task in summary.tasks]
    return [*columns, [overall.get(method) for method in summary.methods]]


def _rows(
    names: Sequence[str],
    columns: Sequence[Sequence[str]],
    marked: Sequence[Sequence[Mark]] | None = None,
) -> list[list[TextCell]]:
    marked = marked or [[""] * len(names)] * len(columns)
    cells = [list(map(TextCell, *column)) for column in zip(columns, marked, strict=True)]
    return [[TextCell(name), *row] for name, *row in zip(names, *cells, strict=True)]


def _comparable(found: Sequence[Mean | None], seeds: int) -> list[float | None]:
    """Return the means; None if seeds are missing."""
    return [mean.mean if mean and mean.n == seeds else None for mean in found]


def _fewer(mean: Mean | None, seeds: int) -> str:
    return f" (n = {mean.n})" if mean and mean.n < seeds else ""


def _spread(mean: Mean | None, seeds: int) -> str:
    if mean is None:
        return NONE
    spread = "" if mean.deviation is None else f" ± {100 * mean.deviation:.1f}"
    return f"{100 * mean.mean:.1f}{spread}{_fewer(mean, seeds)}"


def interval_text(mean: Mean | None, sign: str = "") -> str:
    """Return a mean share in per cent with its interval; with a sign, of a difference."""
    if mean is None:
        return NONE
    text = f"{100 * mean.mean:{sign}.1f}"
    if mean.low is None or mean.high is None:
        return text
    # An accuracy is bounded; a difference, which has a sign, is not.
    low, high = (mean.low, mean.high) if sign else (max(0.0, mean.low), min(1.0, mean.high))
    return f"{text} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def _p(p: float | None) -> str:
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def marks(values: Sequence[float | None], *, least: bool = False) -> list[Mark]:
    """Return which values are best and second; equal ones share the mark.

    After two that are best together there is no second. None is left out.

    Examples
    --------
    >>> marks([3.0, 5.0, None, 4.0])
    ['', 'best', '', 'second']
    >>> marks([1.0, 1.0, 2.0], least=True)
    ['best', 'best', '']
    """
    ranks = pd.Series(values, dtype=float).round(DIGITS).rank(method="min", ascending=least)
    names: Mapping[float, Mark] = {1.0: "best", 2.0: "second"}
    return [names.get(rank, "") for rank in ranks]


def to_markdown(table: TextTable) -> str:
    """Write a table as Markdown, with its title and its note."""
    shown = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
    lines = [list(table.head), ["---"] * len(table.head)]
    lines += [[shown[cell.mark].format(cell.text) for cell in row] for row in table.rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = f"\n\n{table.note}" if table.note else ""
    return f"**{table.title}**\n\n{body}{note}\n"


def to_latex(table: TextTable) -> str:
    r"""Write a table as LaTeX, for ``booktabs``.

    Examples
    --------
    >>> rows = [[TextCell("a_b"), TextCell("1", "best")]]
    >>> print(to_latex(TextTable("t", "A title", ["x", "y"], rows)))
    \begin{table}
      \centering
      \caption{A title}
      \begin{tabular}{lr}
        \toprule
        x & y \\
        \midrule
        a\_b & \textbf{1} \\
        \bottomrule
      \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    shown = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
    rows = [[shown[cell.mark].format(_escape(cell.text)) for cell in row] for row in table.rows]
    caption = f"{table.title}. {table.note}" if table.note else table.title
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escape(caption)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"    \toprule",
        f"    {' & '.join(map(_escape, table.head))} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(row)} \\\\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return re.sub(r"[&%$#_{}\\±–<−]", lambda found: _SPECIAL.get(found[0], f"\\{found[0]}"), text)
