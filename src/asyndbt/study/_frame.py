"""From the records of finished runs to tidy rows: one number a row, a moment of a curve a point.

The tidy table of a study as files: everything else is computed from it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from asyndbt.errors import DataError, MissingExtraError
from asyndbt.run import read_curve
from asyndbt.study._cells import OURS, Cell, CellPoint
from asyndbt.study._execute import CellResult

__all__ = [
    "OVERALL",
    "CurvePoint",
    "Row",
    "curve_of",
    "read_rows",
    "rows_of",
    "write_curve",
    "write_rows",
]

Moment = Mapping[str, Any]
"""A point of a curve, as a run has written it."""

OVERALL: Final = "all"
"""In the column of sites: all of them together."""


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one run.

    Parameters
    ----------
    method, task : str
    seed : int
    site : str
        ``all`` for all sites together.
    split : str
        ``test``, ``validation``, or ``train`` for what concerns tuning itself.
    metric : str
        ``accuracy`` (a share), ``loss`` (cross-entropy, nats), ``n`` (examples); on the test split
        also with ``plain_`` and ``random_icl_`` before them, for the two references.  Of training
        ``iterations``, ``calls`` and, where the run has a virtual clock, ``seconds`` on it.
    value : float
    calls : int
        That the run has spent on tuning and choosing, at all sites.
    tokens : int
        Sent and received, in the whole run.
    seconds : float
        That the run took here.
    budget : int
        Calls of a site that the run was given for tuning and choosing.
    mode : str
        What was tuned.
    point : Point
        The grid's keys; each is a column of its own.
    """

    method: str
    task: str
    seed: int
    site: str
    split: str
    metric: str
    value: float
    calls: int
    tokens: int
    seconds: float
    budget: int
    mode: str
    point: CellPoint = ()


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A moment of one run: what was known after some calls of all sites together.

    Parameters
    ----------
    method, task : str
    seed : int
    calls, iteration : int
    metric : str
        ``train_loss``, ``validation_loss`` or ``validation_accuracy``.
    value : float
    seconds : float
        On the run's clock.
    site : str
        ``all`` for all sites together.
    budget : int
    mode : str
    point : Point
    """

    method: str
    task: str
    seed: int
    calls: int
    iteration: int
    metric: str
    value: float
    seconds: float
    site: str
    budget: int
    mode: str
    point: CellPoint = ()


def rows_of(done: Sequence[CellResult]) -> list[Row]:
    """Read the rows of all cells that have a result."""
    return [row for each in done if not each.error for row in _rows(each)]


def _rows(done: CellResult) -> Iterator[Row]:
    cell = done.cell
    data = json.loads((cell.directory / "result.json").read_text("utf-8"))
    overall, ledger = data["metrics"]["test"], data["ledger"]
    curve = read_curve(cell.directory)
    calls = _tuning_calls(data, curve, cell.config.method.random_icl_draws)
    about: dict[str, Any] = {
        "method": cell.method,
        "task": cell.task,
        "seed": cell.seed,
        "calls": calls,
        "tokens": ledger["tokens_in"] + ledger["tokens_out"],
        "seconds": done.seconds,
        "budget": cell.calls,
        "mode": cell.mode,
        "point": _texts(cell.point),
    }
    for site, split, metric, value in (
        *_scores(OVERALL, "test", overall),
        *_sites(data["sites"]),
        *_training(cell, data, curve, calls),
    ):
        yield Row(site=site, split=split, metric=metric, value=float(value), **about)


def _tuning_calls(data: Mapping[str, Any], curve: Sequence[Moment], draws: int) -> int:
    """Return what was spent before the test split was asked about.

    The evaluation asks for every test example once under each kind of prompt, all of them new; only
    a method whose prompt is one of the references finds some answered, and says itself how far it
    had come.
    """
    scores = {kind: score for kind, score in data["metrics"]["test"].items() if score}
    times = {"random_icl": draws}
    evaluation = sum(times.get(kind, 1) * int(score["n"]) for kind, score in scores.items())
    known = max((int(moment["calls"]) for moment in curve), default=0)
    return max(known, int(data["ledger"]["calls"]) - evaluation)


Number = tuple[str, str, str, float]
"""Site, split, metric, value."""
_PREFIXES: Final = {"tuned": "", "plain": "plain_", "random_icl": "random_icl_"}


def _scores(site: str, split: str, kinds: Mapping[str, Any]) -> Iterator[Number]:
    for kind, prefix in _PREFIXES.items():
        score = kinds.get(kind) or {}
        for metric in ("accuracy", "loss", "n"):
            if score.get(metric) is not None:
                yield site, split, f"{prefix}{metric}", score[metric]


def _sites(sites: Mapping[str, Any]) -> Iterator[Number]:
    for name, site in sites.items():
        for split, kinds in site["metrics"].items():
            yield from _scores(name, split, kinds)


def _training(
    cell: Cell, data: Mapping[str, Any], curve: Sequence[Moment], calls: int
) -> Iterator[Number]:
    yield OVERALL, "train", "calls", calls
    yield OVERALL, "train", "iterations", data["iterations"]
    seconds = [moment["seconds"] for moment in curve if moment.get("seconds") is not None]
    # A real clock depends on which answers other runs had bought before; baselines know no other.
    virtual = cell.method in OURS and cell.config.federation.engine == "virtual"
    if seconds and virtual:
        yield OVERALL, "train", "seconds", max(seconds)


def curve_of(done: Sequence[CellResult]) -> list[CurvePoint]:
    """Read the curves of all cells that have one."""
    return [point for each in done if not each.error for point in _points(each)]


def _points(done: CellResult) -> Iterator[CurvePoint]:
    cell = done.cell
    for moment in read_curve(cell.directory):
        for metric in ("train_loss", "validation_loss", "validation_accuracy"):
            if moment.get(metric) is not None:
                yield CurvePoint(
                    method=cell.method,
                    task=cell.task,
                    seed=cell.seed,
                    calls=moment["calls"],
                    iteration=moment["iteration"] or 0,
                    metric=metric,
                    value=float(moment[metric]),
                    seconds=float(moment.get("seconds") or 0.0),
                    site=moment.get("site") or OVERALL,
                    budget=cell.calls,
                    mode=cell.mode,
                    point=_texts(cell.point),
                )


def _texts(point: CellPoint) -> CellPoint:
    """Write the values of a grid as they stand in a file, where all of a column are texts."""
    return tuple(
        (name, value if isinstance(value, str) else json.dumps(value)) for name, value in point
    )


def write_rows(rows: Sequence[Row], stem: Path) -> None:
    """Write ``STEM.csv`` and ``STEM.parquet``, without rows whose value is not finite.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    rows = [row for row in rows if math.isfinite(row.value)]
    _write_csv(rows, stem.with_suffix(".csv"), Row)
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow", "study") from error
    columns = _columns(rows, Row)
    lines = [_line(row) for row in rows]
    table = arrow.table(
        {
            name: arrow.array([line[name] for line in lines], _ARROW.get(_TYPES.get(name, str)))
            for name in columns
        }
    )
    parquet.write_table(table, stem.with_suffix(".parquet"))


def write_curve(points: Sequence[CurvePoint], file: Path) -> None:
    """Write the points of curves as CSV, without those whose value is not finite."""
    _write_csv([point for point in points if math.isfinite(point.value)], file, CurvePoint)


def read_rows(file: Path) -> list[Row]:
    """Read rows out of a table that `write_rows` made, of either kind.

    Raises
    ------
    DataError
        If the file is no such table.
    """
    if file.suffix == ".parquet":
        lines = import_module("pyarrow.parquet").read_table(file).to_pylist()
    else:
        with file.open(encoding="utf-8", newline="") as text:
            lines = list(csv.DictReader(text))
    try:
        return [_row(line) for line in lines]
    except (KeyError, ValueError) as error:
        raise DataError(f"{file}: not a table of results: {error}") from error


_TYPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "seed": int,
    "calls": int,
    "iteration": int,
    "tokens": int,
    "budget": int,
    "value": float,
    "seconds": float,
}
_ARROW: Final[Mapping[Any, str]] = {int: "int64", float: "float64", str: "string"}


def _row(line: Mapping[str, Any]) -> Row:
    own = [field.name for field in fields(Row) if field.name != "point"]
    point = tuple((name, value) for name, value in line.items() if name not in own)
    return Row(**{name: _TYPES.get(name, str)(line[name]) for name in own}, point=point)


def _line(item: Row | CurvePoint) -> dict[str, Any]:
    own = {field.name: getattr(item, field.name) for field in fields(item)}
    return {**{name: value for name, value in own.items() if name != "point"}, **dict(own["point"])}


def _columns(items: Sequence[Row | CurvePoint], kind: type[Row] | type[CurvePoint]) -> list[str]:
    own = [field.name for field in fields(kind) if field.name != "point"]
    return own + [name for name, _ in items[0].point] if items else own


def _write_csv(
    items: Sequence[Row | CurvePoint], file: Path, kind: type[Row] | type[CurvePoint]
) -> None:
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, _columns(items, kind), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_line(item) for item in items)
