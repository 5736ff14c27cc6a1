"""What finished runs become: rows, and points of curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from asyndbt.study import StudyFile, cells_of
from asyndbt.study._execute import CellResult, execute_cells
from asyndbt.study._frame import OVERALL, curve_of, rows_of

TIME = ("train", "seconds")


def test_rows_of_a_run(done: list[CellResult]) -> None:
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


def test_only_a_virtual_clock_tells_how_long_tuning_takes(
    done: list[CellResult], study: Callable[..., StudyFile], tmp_path: Path
) -> None:
    def timed(some: Sequence[CellResult]) -> set[str]:
        return {row.method for row in rows_of(some) if (row.split, row.metric) == TIME}

    assert timed(done) == {"asyndbt", "cendbt"}
    base = {"method": {"random_icl_draws": 1}, "data": {"pool_per_class": 4}}
    file = study(dir=str(tmp_path / "other"), seeds=[0], tables={"base": base})
    assert timed(execute_cells(cells_of(file), tmp_path / "answers", tell=lambda *_: None)) == set()


def test_the_curve_has_a_point_for_every_number(done: list[CellResult]) -> None:
    points = [point for point in curve_of(done) if point.method == "asyndbt"]
    assert len(points) == 2 * 2 * 4
    assert {point.metric for point in points} == {
        "train_loss",
        "validation_accuracy",
        "validation_loss",
    }


def test_a_run_without_a_result_has_no_rows(done: list[CellResult]) -> None:
    assert rows_of([replace(done[0], error="failed")]) == []
