"""Everything that a study shows, made from its tables by one command: files, and a page on them.

What the figures of a study say, in sentences made from them; also where a baseline wins.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asyndbt.study._cells import OURS
from asyndbt.study._execute import CellResult
from asyndbt.study._figures import draw_figures
from asyndbt.study._file import StudyFile
from asyndbt.study._frame import CurvePoint, Row, curve_of, rows_of, write_curve, write_rows
from asyndbt.study._summary import Mean, Summary, summaries
from asyndbt.study._tables import TextTable, short, tables_of, to_latex, to_markdown, training_time

__all__ = ["reading", "write_page"]

_PACKAGES = ("asyndbt", "numpy", "scipy", "scikit-learn", "optuna", "matplotlib")


@dataclass(frozen=True, slots=True)
class _Section:
    """What is shown of one point of the grid."""

    summary: Summary
    tables: Sequence[TextTable]
    figures: Sequence[tuple[str, str]]


def write_page(file: StudyFile, done: Sequence[CellResult]) -> Path:
    """Write the tables of results, the tables and figures made from them, and ``README.md``.

    Parameters
    ----------
    file : StudyFile
    done : sequence of Done
        All cells of the study.

    Returns
    -------
    Path
        The page.
    """
    folder = file.study.dir
    rows, points = rows_of(done), curve_of(done)
    write_rows(rows, folder / "results")
    write_curve(points, folder / "curve.csv")
    for name in ("tables", "figures"):
        (folder / name).mkdir(exist_ok=True)
    sections = list(_sections(file, rows, points))
    page = folder / "README.md"
    page.write_text("\n\n".join(_page(file, done, rows, sections)) + "\n", encoding="utf-8")
    return page


def _sections(
    file: StudyFile, rows: Sequence[Row], points: Sequence[CurvePoint]
) -> Iterator[_Section]:
    study = file.study
    mode = file.base.get("method", {}).get("mode", "both")
    each = summaries(
        rows,
        methods=study.methods,
        tasks=study.tasks,
        seeds=study.seeds,
        calls=study.calls,
        mode=mode,
    )
    for number, summary in enumerate(each, start=1):
        # Without a grid the files lie in the folders themselves.
        part = f"point{number}" if summary.point else ""
        tables, figures = (study.dir / kind / part for kind in ("tables", "figures"))
        for place in (tables, figures):
            place.mkdir(exist_ok=True)
        made = list(tables_of(summary, study.ablation))
        for table in made:
            (tables / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
            (tables / f"{table.name}.tex").write_text(to_latex(table), encoding="utf-8")
        some = [point for point in points if point.point == summary.point]
        drawn = draw_figures(summary, some, figures)
        inside = f"{part}/" if part else ""
        yield _Section(summary, made, [(f"{inside}{name}", said) for name, said in drawn])


# ---------------------------------------------------------------------- the page
def _page(
    file: StudyFile, done: Sequence[CellResult], rows: Sequence[Row], sections: Sequence[_Section]
) -> Iterator[str]:
    yield f"# Study {file.study.name}"
    yield _about(file, done, rows)
    yield from _missing(done)
    for section in sections:
        if section.summary.point:
            yield f"## {', '.join(f'{name} = {value}' for name, value in section.summary.point)}"
        yield reading(section.summary)
        for table in section.tables:
            yield to_markdown(table).rstrip()
        for name, caption in section.figures:
            yield f"![{caption}](figures/{name}.svg)\n\n*{caption}.*"
    yield (
        "All numbers are computed from `results.csv` (also as `results.parquet`), the curves from "
        "`curve.csv`; `tables/` has the tables as Markdown and LaTeX, `figures/` the figures as "
        "SVG and PNG."
    )


def _about(file: StudyFile, done: Sequence[CellResult], rows: Sequence[Row]) -> str:
    study = file.study
    spent = {}
    for row in rows:
        spent[row.method, row.task, row.seed, row.budget, row.mode, row.point] = row.calls
    calls = sum(spent.values())
    asked = sum(each.asked for each in done)
    budgets = ", ".join(f"{calls:,}" for calls in sorted({study.calls, *study.curve_calls}))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {', '.join(_versions())}; seeds "
        f"{', '.join(map(str, study.seeds))}; {budgets} calls of a site for tuning and choosing, "
        f"the tables at {study.calls:,}. The {len(done):,} runs were charged for {calls:,} calls "
        "for tuning and choosing, and for the final evaluation besides; answers that another run "
        f"had already were not asked for again, and {asked:,} calls reached the model."
    )


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def _missing(done: Sequence[CellResult]) -> Iterator[str]:
    """Name the runs that are not in the tables, and why."""
    short = [each for each in done if each.short]
    if short:
        which = sorted({f"{each.cell.method} at {each.cell.calls:,}" for each in short})
        yield f"The budget was too small for {len(short):,} runs: {', '.join(which)}."
    failed = [each for each in done if each.error and not each.short]
    if failed:
        lines = [f"* {each.cell.title}: {each.error.splitlines()[0]}" for each in failed]
        yield "\n".join([f"{len(failed):,} runs failed and are missing here:", "", *lines])


_SIGNIFICANT = 0.05


def reading(summary: Summary) -> str:
    """Return a paragraph on a summary: ranks, the best baseline, every place where one wins."""
    return " ".join(
        (
            *_sides(summary),
            *_reading_missing(summary),
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


def _reading_missing(summary: Summary) -> Iterator[str]:
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
