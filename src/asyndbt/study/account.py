"""Everything that a study shows, made from its tables by one command: files, and a page on them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asyndbt.study.carrying_out import Done
from asyndbt.study.figures import draw_figures
from asyndbt.study.file import StudyFile
from asyndbt.study.markup import Table, latex, markdown
from asyndbt.study.reading import reading
from asyndbt.study.rows import CurvePoint, Row, curve_of, rows_of
from asyndbt.study.summary import Summary, summaries
from asyndbt.study.table import write_curve, write_rows
from asyndbt.study.tables import tables_of

__all__ = ["write_account"]

_PACKAGES = ("asyndbt", "numpy", "scipy", "scikit-learn", "optuna", "matplotlib")


@dataclass(frozen=True, slots=True)
class _Section:
    """What is shown of one point of the grid."""

    summary: Summary
    tables: Sequence[Table]
    figures: Sequence[tuple[str, str]]


def write_account(file: StudyFile, done: Sequence[Done]) -> Path:
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
            (tables / f"{table.name}.md").write_text(markdown(table), encoding="utf-8")
            (tables / f"{table.name}.tex").write_text(latex(table), encoding="utf-8")
        some = [point for point in points if point.point == summary.point]
        drawn = draw_figures(summary, some, figures)
        inside = f"{part}/" if part else ""
        yield _Section(summary, made, [(f"{inside}{name}", said) for name, said in drawn])


# ---------------------------------------------------------------------- the page
def _page(
    file: StudyFile, done: Sequence[Done], rows: Sequence[Row], sections: Sequence[_Section]
) -> Iterator[str]:
    yield f"# Study {file.study.name}"
    yield _about(file, done, rows)
    yield from _missing(done)
    for section in sections:
        if section.summary.point:
            yield f"## {', '.join(f'{name} = {value}' for name, value in section.summary.point)}"
        yield reading(section.summary)
        for table in section.tables:
            yield markdown(table).rstrip()
        for name, caption in section.figures:
            yield f"![{caption}](figures/{name}.svg)\n\n*{caption}.*"
    yield (
        "All numbers are computed from `results.csv` (also as `results.parquet`), the curves from "
        "`curve.csv`; `tables/` has the tables as Markdown and LaTeX, `figures/` the figures as "
        "SVG and PNG."
    )


def _about(file: StudyFile, done: Sequence[Done], rows: Sequence[Row]) -> str:
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


def _missing(done: Sequence[Done]) -> Iterator[str]:
    """Name the runs that are not in the tables, and why."""
    short = [each for each in done if each.short]
    if short:
        which = sorted({f"{each.cell.method} at {each.cell.calls:,}" for each in short})
        yield f"The budget was too small for {len(short):,} runs: {', '.join(which)}."
    failed = [each for each in done if each.error and not each.short]
    if failed:
        lines = [f"* {each.cell.title}: {each.error.splitlines()[0]}" for each in failed]
        yield "\n".join([f"{len(failed):,} runs failed and are missing here:", "", *lines])
