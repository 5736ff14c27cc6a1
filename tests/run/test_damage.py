"""What a bad disk, a full one or a second process does to a run: told, and nothing is lost."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.run.conftest import Small
from tests.run.test_resume import ENGINES, Stop, interrupter

from asyndbt.baselines import resume_run
from asyndbt.config import load_config
from asyndbt.errors import BudgetError, DataError, RunDirectoryError
from asyndbt.federation import Confirm, Evaluate
from asyndbt.lm import AnswerCache
from asyndbt.run import Result, run_config
from asyndbt.run._directory import RunDirectory
from asyndbt.run._site import RunSite

WAYS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "turned": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "without its digest": lambda data: data[:-16],
    "emptied": lambda data: b"",
}


def stopped(small: Any, engine: str = "virtual", step: int = 6) -> Path:
    """The directory of a run that was interrupted."""
    config = small.config(federation=ENGINES[engine])
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("step", step, Stop)])
    return config.run.dir


def harm(file: Path, way: str) -> None:
    file.write_bytes(WAYS[way](file.read_bytes()))


@pytest.fixture(scope="module")
def whole(data_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What comes out where nothing happens, made once for every engine."""
    done: dict[str, Path] = {}

    def directory(small: Any, engine: str) -> Path:
        if engine not in done:
            place = tmp_path_factory.mktemp("whole") / "run"
            config = small.config(federation=ENGINES[engine], run={"dir": str(place)})
            done[engine] = run_config(config).directory
        return done[engine]

    return directory


def story(small: Any, directory: Path) -> list[dict[str, Any]]:
    return [event for event in small.story(directory) if event["kind"] != "warning"]


def same(small: Any, one: Path, other: Path) -> None:
    assert small.outcome(one) == small.outcome(other)
    assert story(small, one) == story(small, other)
    assert small.paid(one) == small.paid(other)


def told(small: Any, directory: Path) -> bool:
    texts = [event["text"] for event in small.events(directory) if event["kind"] == "warning"]
    return any("damaged" in text for text in texts)


# ------------------------------------------------------------------ states
@pytest.mark.parametrize("engine", ["virtual", "local"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", ["checkpoint", "sites/meals/state"])
def test_the_state_before_a_damaged_one_is_taken(
    small: Any, whole: Any, engine: str, way: str, part: str
) -> None:
    directory = stopped(small, engine)
    harm(directory / part, way)
    resume_run(directory)
    same(small, directory, whole(small, engine))
    assert told(small, directory)


def test_a_run_without_damage_tells_none(small: Any, whole: Any) -> None:
    directory = resume_run(stopped(small)).directory
    same(small, directory, whole(small, "virtual"))
    assert not told(small, directory)


def test_a_crash_between_the_two_steps_of_replacing_a_checkpoint(small: Any, whole: Any) -> None:
    directory = stopped(small)
    (directory / "checkpoint").rename(directory / "checkpoint.before")
    resume_run(directory)
    same(small, directory, whole(small, "virtual"))
    assert not told(small, directory)


@pytest.mark.parametrize(
    ("part", "way"),
    [("checkpoint", "turned"), ("sites/meals/state", "turned"), ("sites/meals/state", "removed")],
)
def test_a_run_without_any_state_begins_again_and_pays_for_nothing_twice(
    small: Any, whole: Any, asked: Any, part: str, way: str
) -> None:
    directory = stopped(small)
    for name in (part, f"{part}.before"):
        if way == "removed":
            (directory / name).unlink()
        else:
            harm(directory / name, way)
    resume_run(directory)
    texts = asked.texts("Step", "Confirm", "Evaluate")
    assert len(set(texts)) == len(texts)
    same(small, directory, whole(small, "virtual"))
    assert told(small, directory)


@pytest.mark.parametrize("work", [Confirm, Evaluate])
def test_a_site_that_is_taken_back_reports_what_it_did_then(
    small: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, work: type
) -> None:
    """What it has paid for since is not counted before it is asked for again."""
    put_many, handle, doing = AnswerCache.put_many, RunSite.handle, []

    async def noted(site: RunSite, assignment: Any) -> Any:
        doing.append(assignment)
        return await handle(site, assignment)

    def stopping(cache: AnswerCache, answers: Any) -> None:
        put_many(cache, answers)
        if isinstance(doing[-1], work):
            raise Stop

    monkeypatch.setattr(RunSite, "handle", noted)
    monkeypatch.setattr(AnswerCache, "put_many", stopping)
    config = small.config(federation=ENGINES["local"])
    with pytest.raises(Stop):
        run_config(config)
    monkeypatch.undo()
    harm(config.run.dir / "sites" / doing[-1].site / "state", "turned")
    resume_run(config.run.dir)
    same(small, config.run.dir, whole(small, "local"))
    assert told(small, config.run.dir)


def test_work_that_was_done_is_not_done_again_for_a_coordinator_that_forgot_it(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sites on other machines cannot be taken back: they repeat what they said."""
    handle, seen = RunSite.handle, []

    async def repeated(site: RunSite, work: Any) -> Any:
        report = await handle(site, work)
        seen.append((site, work, report))
        before = [each for each in seen if each[0] is site][-3:]
        if len(before) == 3:
            steps = site.worker.learner.steps
            again = await handle(site, before[1][1])
            assert (again.id, again.spent) == (before[1][2].id, before[1][2].spent)
            with pytest.raises(RunDirectoryError, match="has done work"):
                await handle(site, before[0][1])
            assert site.worker.learner.steps == steps
        return report

    monkeypatch.setattr(RunSite, "handle", repeated)
    run_config(small.config(federation=ENGINES["virtual"], method={"iterations": 4}))
    assert len(seen) > 9


# ------------------------------------------------------------------ other files
def test_half_a_line_in_the_log_ends_no_run(small: Any, whole: Any) -> None:
    directory = stopped(small)
    log = directory / "events.jsonl"
    log.write_bytes(b'{"kind": "st\xff' + log.read_bytes()[12:])
    done = resume_run(directory)
    assert small.outcome(directory) == small.outcome(whole(small, "virtual"))
    assert done.data["stop_reason"] == "budget"


@pytest.mark.parametrize("name", ["model.json", "result.json", "sites/meals/data.json"])
def test_a_damaged_record_is_named(small: Any, name: str) -> None:
    directory = run_config(small.config(method={"iterations": 2})).directory
    use = Result if name == "result.json" else resume_run
    if name != "result.json":
        (directory / "result.json").unlink()
    harm(directory / name, "cut")
    with pytest.raises(RunDirectoryError, match=rf"{name}: cannot be read, it is damaged"):
        use(directory)


@pytest.mark.parametrize("change", ["scores = x'00'", "text = x'ff', scores = 3", "calls = 'a'"])
def test_a_damaged_row_of_the_cache_stops_the_run(small: Any, change: str) -> None:
    directory = stopped(small)
    for file in directory.glob("sites/*/state*"):
        file.unlink()  # all is asked again
    with sqlite3.connect(directory / "sites/meals/answers.sqlite") as database:
        database.execute(f"UPDATE answers SET {change}")
    database.close()
    with pytest.raises(DataError, match=r"answers\.sqlite: the answer cache is damaged: move it"):
        resume_run(directory)
    for file in directory.glob("sites/meals/answers.sqlite*"):
        file.unlink()
    assert resume_run(directory).data["stop_reason"] == "budget"


# ------------------------------------------------------------------ full disk
@pytest.mark.parametrize("engine", ["virtual", "local"])
@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_a_full_disk_stops_the_run_and_costs_no_site(
    small: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, engine: str, count: int
) -> None:
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    config = small.config(federation=ENGINES[engine])
    with pytest.raises(RunDirectoryError, match=r": cannot be written: No space left on device"):
        run_config(config)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    again = resume_run if (config.run.dir / "config.toml").exists() else None
    directory = (again(config.run.dir) if again else run_config(config)).directory
    same(small, directory, whole(small, engine))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_folder_that_cannot_be_made_stops_the_run(
    small: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    make, made = Path.mkdir, 0

    def mkdir(path: Path, *args: Any, **keys: Any) -> None:
        nonlocal made
        if not path.exists():
            made += 1
            if made == count:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        make(path, *args, **keys)

    config = small.config(federation=ENGINES["virtual"])
    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(RunDirectoryError, match=r"cannot be written: Permission denied"):
        run_config(config)


# ------------------------------------------------------------------ more budget
MORE = {"per_site": {"calls": 200}}


@pytest.fixture(scope="module")
def more(data_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that was given more budget, and nothing disturbed."""
    small = Small(data_files, tmp_path_factory.mktemp("more"))
    directory = run_config(small.config()).directory
    return resume_run(directory, budget=MORE).directory


@pytest.mark.parametrize("kind", ["begin", "checkpoint", "save"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_stopped_while_it_is_given_more_budget(
    small: Any, more: Path, monkeypatch: pytest.MonkeyPatch, kind: str, count: int
) -> None:
    directory = run_config(small.config()).directory
    owner, name = {
        "begin": (RunDirectory, "append_event"),
        "checkpoint": (RunDirectory, "write_checkpoint"),
        "save": (RunSite, "save"),
    }[kind]
    original, calls = getattr(owner, name), 0

    def counted(self: Any, *args: Any) -> None:
        nonlocal calls
        original(self, *args)
        calls += 1
        if calls == count:
            raise Stop

    monkeypatch.setattr(owner, name, counted)
    with pytest.raises(Stop):
        resume_run(directory, budget=MORE)
    monkeypatch.undo()
    resume_run(directory, budget=MORE)
    same(small, directory, more)


@pytest.mark.parametrize(
    ("kind", "count"), [("start", 1), ("step", 2), ("phase", 1), ("phase", 2), ("result", 1)]
)
@pytest.mark.parametrize("again", [MORE, None])
def test_stopped_while_it_spends_what_it_was_given(
    small: Any, more: Path, kind: str, count: int, again: dict[str, Any] | None
) -> None:
    directory = run_config(small.config()).directory
    with pytest.raises(Stop):
        resume_run(directory, budget=MORE, observers=[interrupter(kind, count, Stop)])
    resume_run(directory, budget=again)
    same(small, directory, more)


def test_a_new_budget_is_on_record_before_the_old_result_goes(
    small: Any, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, unlink = run_config(small.config()).directory, Path.unlink

    def stopping(file: Path, missing_ok: bool = False) -> None:
        unlink(file, missing_ok)
        if file.name == "result.json":
            raise Stop

    monkeypatch.setattr(Path, "unlink", stopping)
    with pytest.raises(Stop):
        resume_run(directory, budget=MORE)
    monkeypatch.undo()
    resume_run(directory)
    same(small, directory, more)


def test_a_budget_that_buys_nothing_changes_no_state(small: Any) -> None:
    directory = stopped(small, step=1)
    with pytest.raises(Stop):
        resume_run(directory, observers=[interrupter("phase", 2, Stop)])
    files = [directory / "checkpoint", *sorted(directory.glob("sites/*/state"))]
    states = [file.read_bytes() for file in files]
    cap = load_config(directory / "config.toml").budget.per_site.calls
    with pytest.raises(BudgetError, match="buys no further local step"):
        resume_run(directory, budget={"per_site": {"calls": cap + 1}})
    assert [file.read_bytes() for file in files] == states


# ------------------------------------------------------------------ two processes
@pytest.mark.parametrize("step", [None, 4])
def test_who_finds_a_directory_in_use_touches_nothing_in_it(small: Any, step: int | None) -> None:
    directory = small.config().run.dir if step is None else stopped(small, step=step)
    with RunDirectory(directory).claimed():
        before = {file: file.stat().st_mtime_ns for file in directory.rglob("*")}
        with pytest.raises(RunDirectoryError, match="is in use"):
            run_config(small.config()) if step is None else resume_run(directory)
        assert {file: file.stat().st_mtime_ns for file in directory.rglob("*")} == before


def test_who_finds_a_directory_in_use_pays_for_no_probe(small: Any) -> None:
    from tests.faults.conftest import label_by_length
    from tests.faults.server import FaultServer

    with FaultServer(lambda number, request: label_by_length(request)) as server:
        lm = {"provider": "openai", "model": "m", "base_url": server.url}
        config = small.config(lm=lm)
        with (
            RunDirectory(config.run.dir).claimed(),
            pytest.raises(RunDirectoryError, match="is in use"),
        ):
            run_config(config)
        assert server.count == 0
