"""Cells are run once, again after a kill, and share what they ask; progress is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from tests.study.conftest import TASKS

from asyndbt.config import Config
from asyndbt.errors import AsyndbtError, BudgetError, DataError, ModelError
from asyndbt.study import CellProgress, CellResult, StudyFile, _execute, cells_of
from asyndbt.study._execute import execute_cells, is_done

Make = Callable[..., StudyFile]
Few = Callable[..., dict[str, Any]]


def run(file: StudyFile) -> tuple[list[CellResult], list[tuple[str, int]]]:
    """Run a study; return the results, and of every cell that ended how many were left."""
    told: list[tuple[str, int]] = []

    def observe(progress: CellProgress) -> None:
        if progress.result is not None:
            told.append((progress.cell.title, progress.total - progress.done))

    return execute_cells(cells_of(file), file.study.dir / "answers", observe=observe), told


def test_every_run_is_charged_and_the_model_is_asked_once(study: Make, pretended: object) -> None:
    done, told = run(study())
    assert len(done) == len(told) == 12
    assert [left for _, left in told] == list(range(11, -1, -1))
    assert pretended.charged == 3 * 12  # type: ignore[attr-defined]
    # Two prompts that all runs of a task have in common, and one of every run.
    assert sum(each.asked for each in done) == 2 * 2 + 12


def test_what_is_finished_is_not_done_again(study: Make, pretended: object) -> None:
    first, _ = run(study())
    second, told = run(study())
    assert first == second
    assert not told
    assert len(pretended.carried_out) == 12  # type: ignore[attr-defined]


@pytest.mark.usefixtures("pretended")
def test_a_cell_is_told_of_as_it_begins_while_it_asks_and_when_it_ends(study: Make) -> None:
    first = study(seeds=[0], tasks=["pocket:paraphrase"])
    execute_cells(cells_of(first), first.study.dir / "answers")
    news: list[CellProgress] = []
    done = execute_cells(cells_of(study()), first.study.dir / "answers", observe=news.append)
    left = [each for each in done if each.cell.directory not in directories(first)]
    assert len(left) == 9
    found = [(each.cell.title, each.calls, each.result, each.done) for each in news]
    assert found == [
        part
        for number, each in enumerate(left, start=3)
        for part in (
            (each.cell.title, 0, None, number),
            (each.cell.title, 180, None, number),
            (each.cell.title, 0, each, number + 1),
        )
    ]
    assert {each.total for each in news} == {12}


@pytest.mark.usefixtures("pretended")
def test_a_display_that_fails_does_not_end_the_study(study: Make) -> None:
    def broken(progress: CellProgress) -> None:
        raise OSError("no terminal")

    file = study(seeds=[0], tasks=["pocket:paraphrase"])
    with pytest.warns(UserWarning, match="observer broken has failed"):
        done = execute_cells(cells_of(file), file.study.dir / "answers", observe=broken)
    assert not any(each.error for each in done)


def directories(file: StudyFile) -> set[Path]:
    return {cell.directory for cell in cells_of(file)}


def test_a_longer_study_does_what_is_new(study: Make, pretended: object) -> None:
    run(study())
    _, told = run(study(seeds=[0, 1, 2]))
    assert len(told) == 6
    assert all("seed 2" in title for title, _ in told)


def test_a_killed_cell_starts_anew_and_pays_for_nothing_twice(
    study: Make, pretended: object
) -> None:
    class Kill(BaseException):
        pass

    write = pretended.write  # type: ignore[attr-defined]

    def killed(method: str, config: Config) -> None:
        config.run.dir.mkdir(parents=True)
        (config.run.dir / "half.jsonl").write_text('{"half": ')
        raise Kill

    pretended.write = killed  # type: ignore[attr-defined]
    with pytest.raises(Kill):
        run(study())
    pretended.write = write  # type: ignore[attr-defined]
    done, told = run(study())
    assert len(told) == 12
    assert sum(each.asked for each in done) == 2 * 2 + 12
    assert not (done[0].cell.directory / "half.jsonl").exists()


def test_a_run_that_fails_is_noted_and_the_others_go_on(study: Make, pretended: object) -> None:
    def fail(method: str, config: Config) -> None:
        if method == "cendbt":
            raise BudgetError("too little") if config.run.seed else DataError("no such row")

    pretended.before = fail  # type: ignore[attr-defined]
    done, told = run(study())
    assert len(told) == 12
    bad = {(each.cell.seed, each.error, each.short) for each in done if each.error}
    assert bad == {(0, "no such row", False), (1, "too little", True)}


def test_what_failed_is_tried_again_and_what_was_too_dear_is_not(
    study: Make, pretended: object
) -> None:
    def fail(method: str, config: Config) -> None:
        if method == "cendbt":
            raise BudgetError("too little") if config.run.seed else DataError("no such row")

    pretended.before = fail  # type: ignore[attr-defined]
    run(study())
    pretended.before = lambda *_: None  # type: ignore[attr-defined]
    done, told = run(study())
    assert [title.split(", ")[::2] for title, _ in told] == [["cendbt", "seed 0"]] * 2
    assert {(each.cell.method, each.cell.seed) for each in done if each.error} == {("cendbt", 1)}
    assert not run(study())[1]


def test_the_files_of_answers_are_there_before_several_processes_want_them(
    study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        found.update(path.name for path in answers.iterdir())
        raise KeyboardInterrupt

    found: set[str] = set()
    answers = study().study.dir / "answers"
    monkeypatch.setattr(_execute, "_processes", start)
    with pytest.raises(KeyboardInterrupt):
        execute_cells(cells_of(study()), answers, jobs=2)
    assert found == {"pocket-sentiment-fans.sqlite", "pocket-paraphrase.sqlite"}


def test_a_model_that_cannot_be_asked_stops_the_study(study: Make, pretended: object) -> None:
    def fail(method: str, config: Config) -> None:
        if method == "cendbt":
            raise ModelError("no such key", provider="openai")

    pretended.before = fail  # type: ignore[attr-defined]
    title = "cendbt, pocket:sentiment-fans, seed 0, 300 calls"
    with pytest.raises(ModelError, match=f"^{title}: no such key$") as error:
        run(study())
    assert error.value.provider == "openai"
    finished = [cell for cell in cells_of(study()) if (cell.directory / "cell.json").exists()]
    assert {cell.method for cell in finished} == {"asyndbt"}


def test_options_reach_the_method(study: Make, pretended: object) -> None:
    run(study(methods=["halving"], tables={"options": {"halving": {}}}))
    assert pretended.options == [{}] * 4  # type: ignore[attr-defined]


def test_the_record_of_a_cell(study: Make, pretended: object) -> None:
    done, _ = run(study())
    record = json.loads((done[0].cell.directory / "cell.json").read_text())
    assert record == {"seconds": done[0].seconds, "asked": 3, "error": "", "short": False}


def test_several_processes_find_what_one_finds_and_tell_of_their_cells_too(
    study: Make, few_rows: Few, tmp_path: Path
) -> None:
    def found(jobs: int) -> tuple[dict[str, object], list[CellResult], list[CellProgress]]:
        folder, news = tmp_path / f"jobs{jobs}", list[CellProgress]()
        file = study(
            methods=["asyndbt", "manual"], tasks=["pocket:paraphrase"], seeds=[0], calls=150,
            dir=str(folder), tables=few_rows(TASKS[1]),
        )  # fmt: skip
        done = execute_cells(cells_of(file), folder / "answers", jobs=jobs, observe=news.append)
        assert [each.error for each in done] == ["", ""]
        results = {path.parent.name: path.read_text() for path in folder.glob("runs/*/result.json")}
        return {name: json.loads(text) for name, text in results.items()}, done, news

    (alone, _, _), (together, done, news) = found(1), found(2)
    assert len(alone) == 2
    assert alone == together
    for each in done:
        *before, last = [one for one in news if one.cell == each.cell]
        assert last.result == each
        assert all(one.result is None for one in before)
        assert [one.calls for one in before] == sorted(one.calls for one in before)
    assert [one.done for one in news if one.result] == [1, 2]


def test_several_processes_stop_where_no_run_can_succeed(
    study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = {"lm": {"provider": "openai", "model": "m", "api_key_env": "NO_SUCH_KEY_HERE"}}
    monkeypatch.delenv("NO_SUCH_KEY_HERE", raising=False)
    file = study(methods=["manual"], seeds=[0], calls=1_000, tables={"base": base})
    with pytest.raises(AsyndbtError, match=r"^manual, pocket:.*: .*NO_SUCH_KEY_HERE"):
        execute_cells(cells_of(file), file.study.dir / "answers", jobs=2)


@pytest.fixture
def endless(study: Make, few_rows: Few, silent: dict[str, Any]) -> StudyFile:
    """Two short runs, then two that never end."""
    tables = few_rows(*TASKS)
    tables["tasks"][TASKS[1]]["lm"] = silent
    return study(methods=["manual"], calls=10, tables=tables)


def test_ctrl_c_stops_all_processes(endless: StudyFile) -> None:
    file, before = endless, set(active_children())

    def stop(progress: CellProgress) -> None:
        if progress.result is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute_cells(cells_of(file), file.study.dir / "answers", jobs=2, observe=stop)
    assert set(active_children()) == before
    assert 1 <= sum(is_done(cell) for cell in cells_of(file)) <= 2


def test_processes_that_were_killed_stop_the_study(endless: StudyFile) -> None:
    file, before = endless, set(active_children())

    def kill(progress: CellProgress) -> None:
        if progress.result is not None:
            for process in set(active_children()) - before:
                process.kill()

    with pytest.raises(AsyndbtError, match="it was killed, perhaps for want of memory"):
        execute_cells(cells_of(file), file.study.dir / "answers", jobs=2, observe=kill)
    assert set(active_children()) == before
    assert 1 <= sum(is_done(cell) for cell in cells_of(file)) <= 2
