"""The tidy tables: what they hold of finished runs, and files that give it back."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from asyndbt.study import CellResult, StudyFile, cells_of
from asyndbt.study._execute import execute_cells
from asyndbt.study._frame import OVERALL, curve_of, results_of, write_csv, write_parquet

TEXTS = dict.fromkeys(("method", "task", "site", "split", "metric", "mode"), "string")
NUMBERS = dict.fromkeys(("seed", "calls", "tokens", "budget"), "int64")
POINT = "method.draws"


def read(file: Path) -> list[dict[str, object]]:
    if file.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(file).to_pylist())
    kinds = {**dict.fromkeys(NUMBERS, int), "value": float, "seconds": float}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [{name: kinds.get(name, str)(text) for name, text in row.items()} for row in rows]


def test_results_of_a_run(done: list[CellResult]) -> None:
    results = results_of(done)
    results = results[(results["method"] == "asyndbt") & (results["task"].str.endswith("fans"))]
    results = results[results[POINT] == "3"]
    found = results.set_index(["site", "split", "metric"])["value"]
    assert found[OVERALL, "test", "accuracy"] == 0.9
    assert found[OVERALL, "test", "plain_accuracy"] == 0.5
    assert found[OVERALL, "test", "n"] == 100
    assert found["home", "test", "n"] == 50
    assert found[OVERALL, "train", "iterations"] == 2
    assert found[OVERALL, "train", "seconds"] == 20.0
    assert set(results["calls"]) == {180}
    assert set(results["tokens"]) == {1000}


def test_only_a_virtual_clock_tells_how_long_tuning_takes(
    done: list[CellResult], study: Callable[..., StudyFile], tmp_path: Path
) -> None:
    def timed(some: Sequence[CellResult]) -> set[str]:
        found = results_of(some)
        return set(found["method"][(found["split"] == "train") & (found["metric"] == "seconds")])

    assert timed(done) == {"asyndbt", "cendbt"}
    base = {"method": {"random_icl_draws": 1}, "data": {"pool_per_class": 4}}
    file = study(dir=str(tmp_path / "other"), seeds=[0], tables={"base": base})
    assert timed(execute_cells(cells_of(file), tmp_path / "answers")) == set()


def test_the_curve_has_a_row_for_every_number(done: list[CellResult]) -> None:
    curve = curve_of(done)
    curve = curve[curve["method"] == "asyndbt"]
    assert len(curve) == 2 * 2 * 4
    assert set(curve["metric"]) == {"train_loss", "validation_accuracy", "validation_loss"}


def test_a_run_without_a_result_has_no_rows(done: list[CellResult], tmp_path: Path) -> None:
    found = results_of([replace(done[0], error="failed")])
    assert found.empty
    write_csv(found, tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text() == (
        "method,task,seed,site,split,metric,value,calls,tokens,seconds,budget,mode\n"
    )


def test_values_that_are_not_finite_are_left_out(done: list[CellResult]) -> None:
    file = done[0].cell.directory / "result.json"
    file.write_text(file.read_text().replace('"loss": 0.7', '"loss": Infinity'))
    assert len(results_of(done[:1])) == len(results_of(done[1:2])) - 6


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_give_back_every_row(done: list[CellResult], tmp_path: Path, suffix: str) -> None:
    results = results_of(done)
    results.loc[results.index[0], "task"] = 'a, "b"'
    results.loc[results.index[1], "value"] = 1e-17
    results.loc[results.index[2], "value"] = 1 / 3
    results.loc[results.index[3], "site"] = "zürich"
    file = tmp_path / f"results{suffix}"
    (write_csv if suffix == ".csv" else write_parquet)(results, file)
    assert read(file) == results.to_dict("records")


def test_the_schema_of_the_parquet_file(done: list[CellResult], tmp_path: Path) -> None:
    write_parquet(results_of(done), tmp_path / "results.parquet")
    schema = pyarrow.parquet.read_schema(tmp_path / "results.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        **TEXTS,
        **NUMBERS,
        **dict.fromkeys(("value", "seconds"), "double"),
        POINT: "string",
    }
    assert schema.metadata is None


def test_the_columns_of_a_curve_file(done: list[CellResult], tmp_path: Path) -> None:
    curve = curve_of(done)
    write_csv(curve, tmp_path / "curve.csv")
    head, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert head.startswith("method,task,seed,calls,iteration,metric,value,seconds")
    assert len(lines) == len(curve)
