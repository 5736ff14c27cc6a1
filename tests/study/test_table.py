"""The table as files: they give back what was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asyndbt.errors import DataError
from asyndbt.study._execute import CellResult
from asyndbt.study._frame import OVERALL, Row, curve_of, read_rows, rows_of, write_curve, write_rows

ROW = Row("asyndbt", "a", 0, OVERALL, "test", "accuracy", 1 / 3, 180, 1000, 0.25, 300, "both")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_give_back_every_row(done: list[CellResult], tmp_path: Path, suffix: str) -> None:
    rows = rows_of(done)
    write_rows(rows, tmp_path / "results")
    assert read_rows(tmp_path / f"results{suffix}") == rows


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_numbers_and_texts_survive(tmp_path: Path, suffix: str) -> None:
    rows = [ROW, replace(ROW, task='a, "b"', value=1e-17), replace(ROW, site="zürich")]
    rows = [replace(row, point=(("federation.quorum", "0.5"),)) for row in rows]
    write_rows(rows, tmp_path / "results")
    assert read_rows(tmp_path / f"results{suffix}") == rows


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a table of results"):
        read_rows(tmp_path / "other.csv")


def test_a_curve_has_a_line_for_every_point(done: list[CellResult], tmp_path: Path) -> None:
    points = curve_of(done)
    write_curve(points, tmp_path / "curve.csv")
    head, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert head.startswith("method,task,seed,calls,iteration,metric,value,seconds")
    assert len(lines) == len(points)
