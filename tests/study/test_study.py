"""A whole study: one command, and everything is there."""

from __future__ import annotations

import argparse
import csv
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from asyndbt.cli import _study as command
from asyndbt.cli import main
from asyndbt.config import Config
from asyndbt.errors import BudgetError, MissingExtraError
from asyndbt.pocket import TASKS, dataset
from asyndbt.run._directory import RunDirectory
from asyndbt.study import StudyFile, cells_of, estimate_study, load_study, run_study
from asyndbt.study._execute import execute_cells
from asyndbt.study._frame import OVERALL

Make = Callable[..., StudyFile]
Few = Callable[..., dict[str, Any]]

FILE = """
[study]
methods = ["asyndbt", "cendbt", "random-icl"]
tasks = ["pocket:paraphrase"]
seeds = [0, 1]
calls = 300
curve_calls = [100]
ablation = ["asyndbt"]
dir = "out"

[base.data]
pool_per_class = 4

[base.method]
random_icl_draws = 1

[base.federation]
engine = "virtual"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(FILE)
    return path


@pytest.mark.usefixtures("pretended")
def test_one_command_writes_everything(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", str(file), "--jobs", "1"]) == 0
    title, first, *lines = capsys.readouterr().out.splitlines()
    assert title == "study small: methods 3, tasks 1, seeds 2; preparing ..."
    cell = "asyndbt, pocket:paraphrase, seed 0, 300 calls"
    assert first == f"[0/14] running: {cell}: 0 calls made"
    ended = [line for line in lines if "running:" not in line]
    assert len(ended) == 6 + 4 + 4 + 1
    assert re.match(rf"\[1/14\] {cell}: \d+ s, ", ended[0])
    assert ended[-1].startswith("14 runs. Tables and figures: ")
    out = file.parent / "out"
    page = (out / "README.md").read_text()
    names = ("table3", "table4-asyndbt", "intervals", "tests", "pooled", "wins", "losses")
    for name in (*names, "budgets", "calls", "time"):
        text = (out / "tables" / f"{name}.md").read_text()
        assert text.rstrip() in page
        assert (out / "tables" / f"{name}.tex").read_text().startswith(r"\begin{table}")
    for name in ("figure1", "figure2", "accuracy-calls"):
        assert f"](figures/{name}.svg)" in page
        assert (out / "figures" / f"{name}.svg").stat().st_size > 1000
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "seeds 0, 1; 100, 300 calls of a site" in page
    assert re.search(r"\d{4}-\d\d-\d\d; Python", page)
    assert str(file.parent) not in page


@pytest.mark.usefixtures("pretended", "undrawn")
def test_the_page_says_what_the_table_says(file: Path) -> None:
    study = load_study(file)
    run_study(study)
    rows = pyarrow.parquet.read_table(study.study.dir / "results.parquet").to_pylist()
    with (study.study.dir / "results.csv").open(encoding="utf-8", newline="") as lines:
        assert list(csv.DictReader(lines)) == [
            {name: str(value) for name, value in row.items()} for row in rows
        ]
    values = [
        row["value"]
        for row in rows
        if (row["method"], row["site"], row["metric"], row["budget"], row["mode"])
        == ("asyndbt", OVERALL, "accuracy", 300, "both")
    ]
    assert values == [0.9, 0.91]
    assert "| asyndbt | <u>90.5 ± 0.7</u> |" in (study.study.dir / "README.md").read_text()


@pytest.mark.usefixtures("pretended")
def test_the_same_numbers_give_the_same_files(file: Path) -> None:
    study = load_study(file)

    page = study.study.dir / "README.md"

    def found() -> dict[Path, bytes]:
        run_study(study)
        # Midnight may be between two runs.
        page.write_text(re.sub(r"\d{4}-\d\d-\d\d;", "", page.read_text()))
        return {
            path: path.read_bytes()
            for kind in ("svg", "md", "csv")
            for path in study.study.dir.glob(f"**/*.{kind}")
        }

    assert found() == found()


@pytest.mark.usefixtures("pretended", "undrawn")
def test_every_point_of_a_grid_has_its_own_tables(study: Make) -> None:
    file = study(tables={"grid": {"method": {"draws": [3, 4]}}}, seeds=[0])
    run_study(file)
    page = (file.study.dir / "README.md").read_text()
    assert "## method.draws = 3" in page
    assert "](figures/point2/figure1.svg)" in page
    assert (file.study.dir / "tables" / "point1" / "table3.md").exists()


@pytest.mark.parametrize("package", ["pandas", "scipy", "matplotlib", "pyarrow"])
def test_a_missing_package_is_named_before_anything_runs(
    package: str, file: Path, pretended: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("_page", "_figures", "_frame", "_summary", "_tables"):
        monkeypatch.delitem(sys.modules, f"asyndbt.study.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"^{package} is not installed: .*study"):
        run_study(load_study(file))
    assert not pretended.carried_out  # type: ignore[attr-defined]


@pytest.mark.usefixtures("undrawn")
def test_budgets_that_are_too_small_are_told(
    file: Path, pretended: object, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(method: str, config: object) -> None:
        if method == "cendbt":
            raise BudgetError("it does not buy one step")

    pretended.before = fail  # type: ignore[attr-defined]
    assert main(["study", str(file), "--jobs", "1", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    page = (file.parent / "out" / "README.md").read_text()
    assert "The budget was too small for 4 runs: cendbt at 100, cendbt at 300." in page


@pytest.mark.usefixtures("undrawn")
def test_a_budget_that_is_too_small_on_some_tasks_is_told_with_them(
    study: Make, pretended: object
) -> None:
    def fail(method: str, config: Config) -> None:
        if method == "cendbt" and "feel" in str(config.task.instruction):
            raise BudgetError("it does not buy one step")

    pretended.before = fail  # type: ignore[attr-defined]
    file = study()
    run_study(file)
    page = (file.study.dir / "README.md").read_text()
    assert "The budget was too small for 2 runs: cendbt at 300 on sentiment-fans." in page


@pytest.mark.usefixtures("pretended")
def test_the_command_stopped_by_ctrl_c_says_how_to_go_on(
    file: Path, pretended: object, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(method: str, config: object) -> None:
        raise KeyboardInterrupt

    pretended.before = stop  # type: ignore[attr-defined]
    assert main(["study", str(file), "--jobs", "1"]) == 130
    assert f"go on with: asyndbt study {file}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_the_processes_of_a_study_end_with_its_command(
    file: Path, sent: signal.Signals, code: int, silent: dict[str, Any], few_rows: Few
) -> None:
    keys = "\n".join(f"{name} = {json.dumps(value)}" for name, value in silent.items())
    few = few_rows("pocket:sentiment-fans")["tasks"]["pocket:sentiment-fans"]["data"]["test"]
    file.write_text(f"""
[study]
methods = ["manual"]
tasks = ["pocket:sentiment-fans", "pocket:paraphrase"]
seeds = [0, 1]
calls = 10
dir = "out"

[tasks."pocket:sentiment-fans".data]
test = {json.dumps(few)}

[tasks."pocket:paraphrase".lm]
{keys}
""")
    # A shell lets the commands that it starts in the background ignore Ctrl-C, and so their tests.
    # What would draw the figures takes seconds to import, and this study is never drawn.
    main = (
        "import signal, sys, types; from asyndbt.cli import main; "
        "sys.modules['asyndbt.study._page'] = types.SimpleNamespace(write_page=None); "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", main, "study", str(file), "--jobs", "2"]
    # The processes hold the other end of its output too, so that its end tells theirs.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("[1/") for line in process.stdout)
        process.send_signal(sent)
        process.stdout.read()
        assert process.wait() == code
    done = len(list((file.parent / "out" / "runs").glob("*/cell.json")))
    assert 0 < done < len(cells_of(load_study(file)))


def test_the_estimate_is_the_sum_over_the_runs(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        FILE.replace("pool_per_class = 4", "pool_per_class = 4\nvalidation_per_class = 5")
    )
    found = estimate_study(load_study(file))
    assert (found.runs, found.short) == (14, 0)
    assert found.free
    evaluation = 3 * 360
    look = 3 * 2 * 5
    calls = {name: [end.usage.calls for end in ends] for name, ends in found.by_method.items()}
    assert calls["random-icl"] == [2 * (evaluation + look)] * 2
    budgets = 2 * (900 + evaluation) + 2 * (300 + evaluation)
    assert calls["cendbt"] == [budgets] * 2
    halves = 2 * (900 + evaluation) + 2 * (900 + 2 * 360)
    least, most = calls["asyndbt"]
    assert halves < least <= most <= halves + budgets
    assert found.least.usage.calls == sum(least for least, _ in calls.values())
    assert found.most.usage.calls == sum(most for _, most in calls.values())
    assert main(["estimate", str(file)]) == 0
    told = capsys.readouterr().out
    assert "runs    14\n" in told
    assert f"  random-icl: {2 * (evaluation + look):,} calls\n" in told
    assert not (file.parent / "out").exists()


def test_the_estimate_knows_the_settings_of_single_methods(file: Path) -> None:
    small = FILE.replace("curve_calls = [100]", "").replace('ablation = ["asyndbt"]', "")
    small = small.replace("[base.data]", "[base.data]\nvalidation_per_class = 5")
    file.write_text(
        small + "\n[overrides.cendbt.method]\niterations = 2\ndraws = 3\nbatch_size = 4\n"
    )
    found = estimate_study(load_study(file))
    evaluation, looks = 3 * 360, int(0.15 * 3 * 300)
    assert found.by_method["cendbt"][1].usage.calls == 2 * (evaluation + looks + 2 * 3 * 4)
    assert found.by_method["asyndbt"][0].usage.calls > 2 * (evaluation + 600)


def test_a_method_without_calls_has_a_result_whatever_the_budget_for_tuning(file: Path) -> None:
    task = TASKS["paraphrase"]
    files = {part: file.parent / f"{part}.jsonl" for part in ("train", "validation", "test")}
    for (part, path), per_class in zip(files.items(), (7, 2, 1), strict=True):
        rows = few(dataset("paraphrase", part), per_class)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "study": {
            "methods": ["asyndbt", "manual"],
            "tasks": ["few"],
            "seeds": [0],
            "calls": 1,
            "dir": str(file.parent / "out"),
        },
        "base": {"method": {"random_icl_draws": 1}},
        "tasks": {
            "few": {
                "task": {"instruction": task.instruction, "labels": dict(task.labels)},
                "data": {
                    **{part: str(path) for part, path in files.items()},
                    "site_column": "site",
                    "pool_per_class": 4,
                },
            }
        },
    }
    study = StudyFile.from_dict(values, name="few")
    expected = estimate_study(study)
    assert (expected.runs, expected.short) == (2, 1)
    (short, manual) = execute_cells(cells_of(study), file.parent / "answers")
    assert short.short
    assert not manual.error
    ledger = RunDirectory(manual.cell.directory).read_json("result.json")["ledger"]
    _, most = expected.by_method["manual"]
    assert ledger["calls"] <= most.usage.calls


def few(rows: Iterable[Mapping[str, str]], per_class: int) -> Iterator[dict[str, str]]:
    """The first rows of every class and site."""
    kept: Counter[tuple[str, str]] = Counter()
    for row in rows:
        kept[row["site"], row["label"]] += 1
        if kept[row["site"], row["label"]] <= per_class:
            yield dict(row)


def test_the_probe_of_an_estimate_is_for_a_run(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", str(file), "--check"]) == 1
    assert "is a study, and --check is for a run" in capsys.readouterr().err


def test_a_study_is_no_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file)]) == 1
    assert f"is a study: asyndbt study {file}" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_study_of_real_runs(file: Path) -> None:
    small = FILE.replace("seeds = [0, 1]", "seeds = [0]").replace("curve_calls = [100]", "")
    small = small.replace('ablation = ["asyndbt"]', "").replace('"cendbt", ', "")
    rows = file.with_name("test.jsonl")
    rows.write_text("\n".join(map(json.dumps, dataset("paraphrase", "test")[::3])))
    small += '\n[tasks."pocket:paraphrase".data]\ntest = "test.jsonl"\n'
    file.write_text(small.replace("[base.data]", "[base.data]\nvalidation_per_class = 5"))
    study = load_study(file)
    done = run_study(study)
    assert [each.error for each in done] == ["", ""]
    found = {
        row["method"]: row
        for row in pyarrow.parquet.read_table(study.study.dir / "results.parquet").to_pylist()
        if (row["site"], row["split"], row["metric"]) == (OVERALL, "test", "accuracy")
    }
    assert found["asyndbt"]["value"] > found["random-icl"]["value"]
    assert 0 < found["asyndbt"]["calls"] <= 900
    most = estimate_study(study).by_method
    for each in done:
        charged = RunDirectory(each.cell.directory).read_json("result.json")["ledger"]["calls"]
        assert charged <= most[each.cell.method][1].usage.calls


@pytest.mark.usefixtures("undrawn")
def test_the_halves_of_the_best_run_are_asked_alone(file: Path, few_rows: Few) -> None:
    small = FILE.replace("curve_calls = [100]", "").replace("ablation =", "ablation_parts =")
    small = small.replace('"cendbt", ', "").replace("calls = 300", "calls = 150")
    few = few_rows("pocket:paraphrase")["tasks"]["pocket:paraphrase"]["data"]["test"]
    small += f'\n[tasks."pocket:paraphrase".data]\ntest = {json.dumps(few)}\n'
    file.write_text(small.replace("[base.data]", "[base.data]\nvalidation_per_class = 2"))
    study = load_study(file)
    done = run_study(study)
    folder = study.study.dir
    rows = [
        row
        for row in pyarrow.parquet.read_table(folder / "results.parquet").to_pylist()
        if (row["method"], row["site"], row["split"]) == ("asyndbt", OVERALL, "test")
    ]
    found = {(row["metric"], row["seed"]): row["value"] for row in rows}
    best = max((0, 1), key=lambda seed: found["accuracy", seed])
    assert {seed for metric, seed in found if metric == "fragment_accuracy"} == {best}
    assert found["demonstrations_n", best] == found["fragment_n", best] == 18
    assert found["halves_calls", best] == 2 * 18
    cells = [
        f"{100 * found[metric, best]:.1f}"
        for metric in ("accuracy", "demonstrations_accuracy", "fragment_accuracy", "plain_accuracy")
    ]
    table = (folder / "tables" / "table4-parts-asyndbt.md").read_text()
    (line,) = [line for line in table.splitlines() if line.startswith("| paraphrase")]
    shown = re.sub(r"\*\*|</?u>", "", line).strip("| ").split(" | ")
    assert shown == ["paraphrase", str(best), *cells]
    page = (folder / "README.md").read_text()
    assert table.rstrip() in page
    assert "The halves of the best runs alone took 36 calls more." in page
    record = next(folder.glob("runs/asyndbt-*/halves.json"))
    record.write_text(record.read_text().replace('"calls": 36', '"calls": 37'))
    run_study(study)
    assert "took 37 calls more" in (folder / "README.md").read_text(), "not asked again"
    most = estimate_study(study).by_method["asyndbt"][1].usage.calls
    file.write_text(file.read_text().replace('ablation_parts = ["asyndbt"]', ""))
    fewer = estimate_study(load_study(file)).by_method["asyndbt"][1].usage.calls
    assert most == fewer + 36
    assert [each.error for each in done] == [""] * 4


def test_jobs_are_a_whole_number() -> None:
    parser = argparse.ArgumentParser()
    command.add_study(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["study", "a.toml", "--jobs", "0"])
