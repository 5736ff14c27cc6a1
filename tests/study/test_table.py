"""The tidy table: what a run becomes, and that files give it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asyndbt.errors import DataError
from asyndbt.study import StudyFile, cells_of
from asyndbt.study.carrying_out import Done, carry_out
from asyndbt.study.table import OVERALL, Row, curve_of, read_rows, rows_of, write_curve, write_rows

Make = Callable[..., StudyFile]

ROW = Row("asyndbt", "a", 0, OVERALL, "test", "accuracy", 1 / 3, 180, 1000, 0.25, 300, "both")


@pytest.fixture
def done(study: Make, pretended: object) -> list[Done]:
    file = study(tables={"grid": {"method": {"draws": [3, 4]}}}, seeds=[0])
    return carry_out(cells_of(file), file.study.dir / "answers", tell=lambda *_: None)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_give_back_every_row(done: list[Done], tmp_path: Path, suffix: str) -> None:
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


def test_rows_of_a_run(done: list[Done]) -> None:
    rows = [row for row in rows_of(done) if row.method == "asyndbt" and row.task.endswith("fans")]
    rows = [row for row in rows if row.point == (("method.draws", "3"),)]
    found = {(row.site, row.split, row.metric): row.value for row in rows}
    assert found[OVERALL, "test", "accuracy"] == 0.9
    assert found[OVERALL, "test", "plain_accuracy"] == 0.5
    assert found[OVERALL, "test", "n"] == 100
    assert found["home", "test", "n"] == 50
    assert found[OVERALL, "train", "iterations"] == 2
    assert found[OVERALL, "train", "seconds"] == 20.0
    assert {row.calls for row in rows} == {180}
    assert {row.tokens for row in rows} == {1000}


def test_the_curve_has_a_row_for_every_number(done: list[Done], tmp_path: Path) -> None:
    points = [point for point in curve_of(done) if point.method == "asyndbt"]
    assert len(points) == 2 * 2 * 3
    assert {point.metric for point in points} == {"train_loss", "validation_accuracy"}
    write_curve(points, tmp_path / "curve.csv")
    head, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    wanted = "method,task,seed,calls,iteration,metric,value,seconds"
    assert head.startswith(wanted)
    assert len(lines) == len(points)


def test_a_run_without_a_result_has_no_rows(done: list[Done]) -> None:
    assert rows_of([replace(done[0], error="failed")]) == []
