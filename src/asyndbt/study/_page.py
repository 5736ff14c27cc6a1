"""The tables and figures of a study as files, and its page ``README.md``."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from asyndbt._text import counted
from asyndbt.study._cells import Point
from asyndbt.study._execute import CellResult
from asyndbt.study._figures import draw_figures
from asyndbt.study._file import StudyFile
from asyndbt.study._frame import (
    HALVES_CALLS,
    curve_of,
    grid_keys,
    results_of,
    without_liars,
    write_csv,
    write_parquet,
)
from asyndbt.study._liars import attacked_runs, liars_table
from asyndbt.study._summary import Summary, summaries
from asyndbt.study._tables import TextTable, short, tables_of, to_latex, to_markdown

_PACKAGES = ("asyndbt", "numpy", "scipy", "scikit-learn", "optuna", "matplotlib")


@dataclass(frozen=True, slots=True)
class _Section:
    """One point of the grid: its numbers, tables and figures."""

    summary: Summary
    tables: Sequence[TextTable]
    figures: Sequence[tuple[str, str]]


def write_page(file: StudyFile, done: Sequence[CellResult]) -> Path:
    """Write the results, the tables and figures made from them, and ``README.md``; return it."""
    folder = file.study.dir
    results, curve = results_of(done), curve_of(done)
    write_csv(results, folder / "results.csv")
    write_parquet(results, folder / "results.parquet")
    write_csv(curve, folder / "curve.csv")
    sections = list(_sections(file, results, curve))
    page = folder / "README.md"
    page.write_text("\n\n".join(_page(file, done, results, sections)) + "\n", encoding="utf-8")
    return page


def _sections(file: StudyFile, results: pd.DataFrame, curve: pd.DataFrame) -> Iterator[_Section]:
    study = file.study
    mode = file.base.get("method", {}).get("mode", "both")
    points = summaries(
        without_liars(results),
        methods=study.methods,
        tasks=study.tasks,
        seeds=study.seeds,
        calls=study.calls,
        mode=mode,
    )
    for number, summary in enumerate(points, start=1):
        # Without a grid there are no subfolders.
        part = f"point{number}/" if summary.point else ""
        tables, figures = (study.dir / kind / part for kind in ("tables", "figures"))
        for folder in (tables, figures):
            folder.mkdir(parents=True, exist_ok=True)
        here = _at(results, summary.point)
        attacked = {m: attacked_runs(here, summary, m) for m in summary.methods}
        attacked = {method: some for method, some in attacked.items() if some}
        made = [liars_table(summary, method, some) for method, some in attacked.items()]
        made += tables_of(summary, study.ablation, study.ablation_parts)
        for table in made:
            (tables / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
            (tables / f"{table.name}.tex").write_text(to_latex(table), encoding="utf-8")
        drawn = draw_figures(summary, _at(without_liars(curve), summary.point), figures, attacked)
        yield _Section(summary, made, [(f"{part}{name}", caption) for name, caption in drawn])


def _at(frame: pd.DataFrame, point: Point) -> pd.DataFrame:
    for name, value in point:
        frame = frame[frame[name] == value]
    return frame


def _page(
    file: StudyFile, done: Sequence[CellResult], results: pd.DataFrame, sections: Sequence[_Section]
) -> Iterator[str]:
    yield f"# Study {file.study.name}"
    yield _about(file, done, results)
    yield from _missing(done)
    for section in sections:
        if section.summary.point:
            yield f"## {', '.join(f'{name} = {value}' for name, value in section.summary.point)}"
        for table in section.tables:
            yield to_markdown(table).rstrip()
        for name, caption in section.figures:
            yield f"![{caption}](figures/{name}.svg)\n\n*{caption}.*"
    yield (
        "All numbers are computed from `results.csv` (also as `results.parquet`), the curves from "
        "`curve.csv`; `tables/` has the tables as Markdown and LaTeX, `figures/` the figures as "
        "SVG and PNG."
    )


def _about(file: StudyFile, done: Sequence[CellResult], results: pd.DataFrame) -> str:
    study = file.study
    run = ["method", "task", "seed", "budget", "mode", *grid_keys(results)]
    calls = results.drop_duplicates(run)["calls"].sum()
    asked = sum(each.asked for each in done)
    halves = results["value"][results["metric"] == HALVES_CALLS].sum()
    alone = f" The halves of the best runs alone took {halves:,.0f} calls more." if halves else ""
    budgets = ", ".join(f"{calls:,}" for calls in sorted({study.calls, *study.curve_calls}))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {', '.join(_versions())}; seeds "
        f"{', '.join(map(str, study.seeds))}; {budgets} calls of a site for tuning and choosing, "
        f"the tables at {study.calls:,}. {counted(len(done), 'run')} in all, charged for "
        f"{calls:,} calls for tuning and choosing, and for the final evaluation besides; answers "
        f"that another run had already were not asked for again, and {asked:,} calls reached the "
        f"model.{alone}{_simulated(done)}"
    )


def _simulated(done: Sequence[CellResult]) -> str:
    lied = sum(each.cell.config.federation.liars is not None for each in done)
    if not lied:
        return ""
    return (
        f" **In {counted(lied, 'run')} liars were simulated** (federation.liars); accuracies are "
        "of the honest sites alone."
    )


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def _missing(done: Sequence[CellResult]) -> Iterator[str]:
    too_small = [each.cell for each in done if each.short]
    if too_small:
        tasks: dict[str, set[str]] = {}
        for cell in too_small:
            tasks.setdefault(f"{cell.method} at {cell.calls:,}", set()).add(short(cell.task))
        every = len({each.cell.task for each in done})
        which = [
            name if len(some) == every else f"{name} on {' and '.join(sorted(some))}"
            for name, some in sorted(tasks.items())
        ]
        yield f"The budget was too small for {counted(len(too_small), 'run')}: {', '.join(which)}."
    failed = [each for each in done if each.error and not each.short]
    if failed:
        lines = [f"* {each.cell.title}: {each.error.splitlines()[0]}" for each in failed]
        yield "\n".join([f"{counted(len(failed), 'run')} failed, missing here:", "", *lines])
