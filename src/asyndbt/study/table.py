"""The tidy table of a study as files: everything else is computed from it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from asyndbt.errors import DataError, MissingExtraError
from asyndbt.study.rows import CurvePoint, Row

__all__ = ["read_rows", "write_curve", "write_rows"]


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
