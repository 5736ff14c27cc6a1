"""The tables of a study: the paper's 3 and 4, and what the paper lacks.

Accuracies are in per cent.  Table 3 and 4 have the form of the paper's tables of the same number
(Ma et al., doi 10.1038/s41598-026-39582-5).

A table of text, as Markdown and as LaTeX; the best of a group is bold, the second underlined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from asyndbt.study._cells import BOTH, FREE_OF_CALLS, OURS
from asyndbt.study._file import POCKET
from asyndbt.study._summary import Mean, Summary, mean_of

__all__ = [
    "TextCell",
    "TextTable",
    "marks",
    "short",
    "tables_of",
    "to_latex",
    "to_markdown",
    "training_time",
]

_NONE = "–"
_FEWER = "(n = ...) where seeds are missing."
_SIGNIFICANT = 0.05


def tables_of(summary: Summary, ablation: Sequence[str]) -> Iterator[TextTable]:
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


def _accuracy(summary: Summary) -> TextTable:
    columns = [[summary.cell(m, task) for m in summary.methods] for task in summary.tasks]
    columns.append([summary.overall(m) for m in summary.methods])
    found = summary.ranks()
    ranks = [found.get(m) for m in summary.methods]
    seeds = len(summary.seeds)
    marked = [marks(_means(column, seeds)) for column in columns]
    marked.append(marks(ranks, least=True))
    texts = [[_spread(mean, seeds) for mean in column] for column in columns]
    texts.append([_NONE if rank is None else f"{rank:.2f}" for rank in ranks])
    return TextTable(
        "table3",
        "Table 3. Accuracy on the test split, per cent",
        ["method", *map(short, summary.tasks), "mean", "average rank"],
        _rows(summary.methods, texts, marked),
        "Mean ± standard deviation over seeds. Best bold, second underlined. The rank is that of "
        f"the mean, averaged over tasks; ties share it. {_FEWER}",
    )


def _ablation(summary: Summary, method: str) -> TextTable:
    rows, seeds = [], len(summary.seeds)
    for task in summary.tasks:
        modes = [summary.cell(method, task, mode) for mode in (BOTH, "demonstrations", "fragment")]
        plain = summary.values(method, task, "plain_accuracy")
        cells = [*modes, mean_of(list(plain.values())) if plain else None]
        marked, texts = marks(_means(cells, seeds)), [_spread(c, seeds) for c in cells]
        rows.append([TextCell(short(task)), *map(TextCell, texts, marked)])
    return TextTable(
        f"table4-{method}",
        f"Table 4. What the gain comes from: {method}, accuracy on the test split, per cent",
        ["task", "both", "demonstrations only", "fragment only", "plain"],
        rows,
        "Mean ± standard deviation over seeds. Best bold, second underlined, in every row. "
        f"{_FEWER}",
    )


def _intervals(summary: Summary) -> TextTable:
    columns = [[summary.cell(m, task) for m in summary.methods] for task in summary.tasks]
    columns.append([summary.overall(m) for m in summary.methods])
    seeds = len(summary.seeds)
    texts = [[_interval(mean) + _fewer(mean, seeds) for mean in column] for column in columns]
    return TextTable(
        "intervals",
        "Accuracy with 95 % intervals, per cent",
        ["method", *map(short, summary.tasks), "mean"],
        _rows(summary.methods, texts, [[""] * len(summary.methods)] * len(texts)),
        "Student's t over seeds: what another draw of data and prompts would change, on the same "
        f"test rows. {_FEWER}",
    )


def _tests(summary: Summary) -> TextTable:
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
    return TextTable(
        "tests",
        f"Against the best baseline, {summary.best_baseline()}: difference of accuracies, points",
        ["method", "mean over tasks", "p", "p (Holm)", *map(short, summary.tasks)],
        rows,
        "Paired t-tests, by seed; the first p is that of the mean over tasks, Holm's correction "
        "there is for the number of methods. * for p < 0.05 after Holm's correction for the number "
        "of tasks.",
    )


def _by_budget(summary: Summary) -> TextTable:
    budgets = summary.budgets()
    columns = [[summary.overall(m, calls) for m in summary.methods] for calls in budgets]
    seeds = [len(summary.seeds_of(calls)) for calls in budgets]
    texts = [[_spread(m, n) for m in column] for column, n in zip(columns, seeds, strict=True)]
    marked = [marks(_means(column, n)) for column, n in zip(columns, seeds, strict=True)]
    free = [method for method in summary.methods if method in FREE_OF_CALLS]
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
    columns = [
        [summary.train(method, task, "calls") for method in summary.methods]
        for task in summary.tasks
    ]
    seeds = len(summary.seeds)
    texts = [
        [f"{mean.mean:,.0f}{_fewer(mean, seeds)}" if mean else _NONE for mean in column]
        for column in columns
    ]
    return TextTable(
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


def _time(summary: Summary) -> TextTable:
    rows = []
    for task, ours, pooled in training_time(summary):
        saved = 1 - ours.mean / pooled.mean if pooled.mean else 0.0
        cells = [short(task), f"{ours.mean:,.0f}", f"{pooled.mean:,.0f}", f"{100 * saved:.0f} %"]
        rows.append(list(map(TextCell, cells)))
    return TextTable(
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


Mark = Literal["", "best", "second"]

_TOLERANCE: Final = 1e-9
_SPECIAL: Final = {"\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "<": "$<$", "−": "$-$"}


@dataclass(frozen=True, slots=True)
class TextCell:
    """A cell of a table: its text, and how it stands out."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table.

    Parameters
    ----------
    name : str
        Of its files.
    title : str
    head : sequence of str
    rows : sequence of sequence of TextCell
    note : str
        How to read it.
    """

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[TextCell]]
    note: str = ""


def marks(values: Sequence[float | None], *, least: bool = False) -> list[Mark]:
    """Say which values are best and second; equal ones share the mark.

    After two that are best together there is no second.

    Parameters
    ----------
    values : sequence of float or None
        None takes no part.
    least : bool
        Whether the smallest is the best.

    Examples
    --------
    >>> marks([3.0, 5.0, None, 4.0])
    ['', 'best', '', 'second']
    >>> marks([1.0, 1.0, 2.0], least=True)
    ['best', 'best', '']
    """
    sign = 1 if least else -1
    known = [sign * value for value in values if value is not None]
    found: list[Mark] = []
    for value in values:
        before = (
            sum(other < sign * value - _TOLERANCE for other in known) if value is not None else 2
        )
        equal = (
            sum(abs(other - sign * value) <= _TOLERANCE for other in known)
            if value is not None
            else 0
        )
        found.append("best" if before == 0 else "second" if before == 1 and equal else "")
    return found


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
    def one(found: re.Match[str]) -> str:
        return _SPECIAL.get(found[0], f"\\{found[0]}")

    return re.sub(r"[&%$#_{}\\±–<−]", one, text)
