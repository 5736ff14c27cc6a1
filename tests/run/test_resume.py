"""Interrupted and resumed is uninterrupted, byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyndbt.baselines import resume_run, run_method
from asyndbt.config import Config
from asyndbt.errors import BudgetError, RunDirectoryError
from asyndbt.federation._codec import pack
from asyndbt.federation._state import STATE_FORMAT, unpack_state
from asyndbt.run import AsynDBT, Event, Result, run_config
from asyndbt.run._directory import RunDirectory
from asyndbt.run._site import RunSite

ENGINES: dict[str, dict[str, Any]] = {
    "local": {"quorum": "majority"},
    "virtual": {
        "engine": "virtual",
        "quorum": 2,
        "staleness": 4,
        "lease": 6.0,
        "delays": {
            "kind": "lognormal",
            "slow": {"movies": 3.0},
            "dead": {"phones": 4.5},
            "rejoin": {"phones": 13.5},
        },
    },
    "constant": {
        "engine": "virtual",
        "quorum": 2,
        "refresh": "barrier",
        "lease": 3.0,
        "delays": {"kind": "constant", "dead": {"meals": 4.0}, "rejoin": {"meals": 8.0}},
    },
}


class Stop(KeyboardInterrupt):
    """What ends a session in these tests: nothing catches it."""


@pytest.fixture(scope="module")
def uninterrupted(
    data_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Any, str], Path]:
    """The directory of the run that nothing disturbed, made once for every engine."""
    done: dict[str, Path] = {}

    def directory(small: Any, engine: str) -> Path:
        if engine not in done:
            folder = tmp_path_factory.mktemp("whole")
            config = small.config(federation=ENGINES[engine], run={"dir": str(folder / "run")})
            done[engine] = run_config(config).directory
        return done[engine]

    return directory


def same(small: Any, one: Path, other: Path) -> None:
    assert small.outcome(one) == small.outcome(other)
    assert small.story(one) == small.story(other)
    assert small.paid(one) == small.paid(other)


def interrupter(kind: str, count: int, error: type[BaseException]) -> Callable[[Event], None]:
    """Raises at the so-manieth event of a kind."""
    seen = 0

    def observe(event: Event) -> None:
        nonlocal seen
        seen += event.kind == kind
        if event.kind == kind and seen == count:
            raise error

    return observe


MOMENTS = [
    ("start", 1),
    ("joined", 2),
    ("step", 1),
    ("step", 6),
    ("step", 12),
    ("refresh", 2),
    ("phase", 1),
    ("phase", 2),
    ("phase", 3),
    ("result", 1),
]


@pytest.mark.parametrize(
    ("engine", "kind", "count"),
    [
        *(("local", *moment) for moment in MOMENTS),
        *(("virtual", *moment) for moment in MOMENTS),
        *(("constant", *moment) for moment in MOMENTS[3:7:2]),
    ],
)
def test_interrupted_at_an_event_and_resumed(
    small: Any, uninterrupted: Any, engine: str, kind: str, count: int
) -> None:
    whole = uninterrupted(small, engine)
    config = small.config(federation=ENGINES[engine])
    with pytest.raises(KeyboardInterrupt):
        run_config(config, observers=[interrupter(kind, count, KeyboardInterrupt)])
    same(small, resume_run(config.run.dir).directory, whole)


@pytest.mark.parametrize("engine", ["local", "virtual"])
def test_interrupted_again_and_again(small: Any, uninterrupted: Any, engine: str) -> None:
    config = small.config(federation=ENGINES[engine])
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("step", 3, Stop)])
    for count in (1, 2, 3):
        with pytest.raises(Stop):
            resume_run(config.run.dir, observers=[interrupter("step", count, Stop)])
    same(small, resume_run(config.run.dir).directory, uninterrupted(small, engine))


@pytest.mark.parametrize("engine", ["local", "virtual"])
@pytest.mark.parametrize("count", [2, 11, 24])
def test_stopped_between_a_sites_save_and_the_coordinators_checkpoint(
    small: Any, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, engine: str, count: int
) -> None:
    config = small.config(federation=ENGINES[engine])
    _stop_at(monkeypatch, RunDirectory, "write_checkpoint", count, before=True)
    with pytest.raises(Stop):
        run_config(config)
    monkeypatch.undo()
    same(small, resume_run(config.run.dir).directory, uninterrupted(small, engine))


@pytest.mark.parametrize("engine", ["local", "virtual"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("count", [2, 17])
def test_stopped_around_the_saving_of_a_site(
    small: Any,
    uninterrupted: Any,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    before: bool,
    count: int,
) -> None:
    """The answers are paid then; asked for again they are found, and count once."""
    config = small.config(federation=ENGINES[engine])
    _stop_at(monkeypatch, RunSite, "save", count, before=before)
    with pytest.raises(Stop):
        run_config(config)
    monkeypatch.undo()
    same(small, resume_run(config.run.dir).directory, uninterrupted(small, engine))


def _stop_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, count: int, *, before: bool
) -> None:
    original, calls = getattr(owner, method), 0

    def counted(self: Any, *args: Any) -> None:
        nonlocal calls
        calls += 1
        if before and calls == count:
            raise Stop
        original(self, *args)
        if calls == count:
            raise Stop

    monkeypatch.setattr(owner, method, counted)


# ------------------------------------------------------------------ killed
_RUN = """
import sys, time
from asyndbt.config import load_config
from asyndbt.baselines import resume_run
from asyndbt.run import run_config
target, last = sys.argv[1], int(sys.argv[2])
def hold(event):
    if event.kind == "step" and event.data["iteration"] == last:
        time.sleep(3600)
if target.endswith(".toml"):
    run_config(load_config(target), observers=[hold])
else:
    resume_run(target, observers=[hold])
"""


def killed_at(target: Path, directory: Path, step: int) -> bool:
    """Carry the run out in a process of its own, killed once its log has that step.

    It is killed anywhere from there to two steps later, and gets no further.
    """
    process = subprocess.Popen([sys.executable, "-c", _RUN, str(target), str(step + 2)])
    log = directory / "events.jsonl"
    mark = f'"iteration": {step},'
    try:
        while process.poll() is None:
            if log.exists() and mark in log.read_text("utf-8"):
                break
            time.sleep(0.001)
    finally:
        process.kill()
    return process.wait() == -signal.SIGKILL


def prepared(small: Any, engine: str) -> tuple[Config, Path]:
    config, file = small.config(federation=ENGINES[engine]), small.folder / "run.toml"
    config.dump(file)
    return config, file


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(("engine", "steps"), [("local", (3, 7)), ("virtual", (4, 9))])
def test_killed_twice_and_resumed(
    small: Any, uninterrupted: Any, engine: str, steps: tuple[int, int]
) -> None:
    config, file = prepared(small, engine)
    whole = uninterrupted(small, engine)
    assert killed_at(file, config.run.dir, steps[0])
    assert not (config.run.dir / "result.json").exists()
    assert killed_at(config.run.dir, config.run.dir, steps[1])
    assert not (config.run.dir / "result.json").exists()
    same(small, resume_run(config.run.dir).directory, whole)


@pytest.mark.parametrize("before", [True, False])
def test_stopped_around_the_writing_of_the_result(
    small: Any, uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    write_json = RunDirectory.write_json

    def stopping(directory: RunDirectory, name: str, value: Any) -> None:
        if name != "result.json" or not before:
            write_json(directory, name, value)
        if name == "result.json":
            raise Stop

    config = small.config(federation=ENGINES["local"])
    monkeypatch.setattr(RunDirectory, "write_json", stopping)
    with pytest.raises(Stop):
        run_config(config)
    monkeypatch.undo()
    same(small, resume_run(config.run.dir).directory, uninterrupted(small, "local"))


# ------------------------------------------------------------------ more budget
def test_more_budget_keeps_back_only_new_answers_and_says_that_the_test_was_seen(
    small: Any, asked: Any
) -> None:
    """Plain prompt and random demonstrations have been asked about the test examples already."""
    cap = small.least + 10 * small.step
    first = run_config(small.config(budget={"per_site": {"calls": cap}}))
    assert not any("were used" in text for text in first.data["warnings"])
    asked.prompts.clear()
    references = small.evaluation - small.test
    more = {"per_site": {"calls": cap + small.evaluation}}
    second = resume_run(first.directory, budget=more)
    assert second.data["iterations"] > first.data["iterations"]
    assert max(row[0] for row in small.paid(first.directory).values()) <= cap + small.evaluation
    for site in small.sites:
        spent = sum(where == site for where, _, _ in asked.prompts)
        assert spent > small.evaluation - references, "more than the tests of the tuned prompt"
    for kind in ("plain", "random_icl"):
        assert second.data["metrics"]["test"][kind] == first.data["metrics"]["test"][kind]
    assert any("examples were used 2 times" in text for text in second.data["warnings"])


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_what_is_said_to_be_enough_buys_a_step(small: Any, share: float) -> None:
    budget = {"test_share": share, "per_site": {"calls": small.least + 10 * small.step}}
    first = run_config(small.config(budget=budget))
    cap = first.config.budget.per_site.calls
    with pytest.raises(BudgetError, match=r"about \d+ calls more for each site") as said:
        resume_run(first.directory, budget={"per_site": {"calls": cap + 1}})
    found = re.search(r"about (\d+) calls", str(said.value))
    assert found is not None
    enough = cap + 1 + int(found[1]) + 1
    second = resume_run(first.directory, budget={"per_site": {"calls": enough}})
    assert second.data["iterations"] > first.data["iterations"]


# ------------------------------------------------------------------ directories
def test_a_directory_is_not_used_for_a_second_run(small: Any) -> None:
    config = small.config(method={"iterations": 2})
    first = small.outcome(run_config(config).directory)
    with pytest.raises(RunDirectoryError, match="holds a run already: go on with 'asyndbt resume"):
        run_config(config)
    assert small.outcome(config.run.dir) == first


def test_a_finished_run_is_only_read(small: Any, asked: Any) -> None:
    done = run_config(small.config(method={"iterations": 2}))
    before = {file: file.stat().st_mtime_ns for file in done.directory.rglob("*")}
    requests = len(asked.prompts)
    again = resume_run(done.directory)
    assert isinstance(again, Result)
    assert again.data == done.data
    assert len(asked.prompts) == requests
    assert {file: file.stat().st_mtime_ns for file in done.directory.rglob("*")} == before


def test_a_directory_in_which_a_process_works_is_left_alone(small: Any) -> None:
    config = small.config()
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("step", 2, Stop)])
    paid = small.paid(config.run.dir)
    with (
        RunDirectory(config.run.dir).claimed(),
        pytest.raises(RunDirectoryError, match="is in use: another process"),
    ):
        resume_run(config.run.dir)
    assert small.paid(config.run.dir) == paid
    assert resume_run(config.run.dir).data["iterations"] > 2


def test_a_directory_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"not the directory of a run: no config\.toml"):
        resume_run(tmp_path)


def test_a_run_that_was_moved_is_resumed_where_it_is(small: Any, uninterrupted: Any) -> None:
    config = small.config(federation=ENGINES["local"])
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("step", 6, Stop)])
    moved = small.folder / "elsewhere"
    config.run.dir.rename(moved)
    assert resume_run(moved).directory == moved
    same(small, moved, uninterrupted(small, "local"))
    assert not config.run.dir.exists()


def begun(small: Any) -> Path:
    config = small.config()
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("step", 2, Stop)])
    return config.run.dir


@pytest.mark.parametrize("part", ["checkpoint", "sites/meals/state"])
@pytest.mark.parametrize("number", [None, 10**6])
def test_a_state_of_another_version_is_refused(small: Any, part: str, number: int | None) -> None:
    """Among them those from before states had a number."""
    directory = begun(small)
    file = directory / part
    fields, arrays = unpack_state(file.read_bytes())
    changed = fields if number is None else {**fields, "format": number}
    file.write_bytes(pack(changed, arrays))
    with pytest.raises(RunDirectoryError, match=r"another version of asyndbt .* start again in"):
        resume_run(directory)


def test_a_result_of_another_version_is_refused(small: Any) -> None:
    directory = run_config(small.config(method={"iterations": 2})).directory
    file = directory / "result.json"
    file.write_text(json.dumps({**small.read(file), "schema_version": 0}))
    for use in (Result, resume_run):
        with pytest.raises(RunDirectoryError, match=r"another version of asyndbt wrote result"):
            use(directory)


def test_whoever_changes_the_layout_of_states_raises_their_number(small: Any) -> None:
    """What a state holds, by name: a change is one of `STATE_FORMAT`, which comes first here."""
    directory = begun(small)
    fields, arrays = unpack_state((directory / "checkpoint").read_bytes())
    own, matrices = unpack_state((directory / "sites/meals/state").read_bytes())
    layout = [
        STATE_FORMAT,
        sorted(fields),
        sorted(fields["roster"][0]),
        sorted(fields["tuning"]),
        sorted(next(iter(fields["tuning"]["latest"].values()))),
        sorted(fields["candidates"]),
        sorted(fields["more"]),
        sorted({name.partition("/")[0] for name in arrays}),
        sorted(name for name in arrays if name.startswith("server/")),
        sorted(own),
        sorted(own["objective"]),
        sorted(matrices),
    ]
    digest = hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16]
    assert digest == "faba7f00c553f02a", layout


def _changed(rows: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    flipped = {"positive": "negative", "negative": "positive"}
    if kind == "labels":
        return [{**row, "label": flipped[row["label"]]} for row in rows]
    if kind == "spaces":
        return [{**row, "text_a": row["text_a"].replace(" ", "  ")} for row in rows]
    return rows[:-1]


@pytest.mark.parametrize(
    ("part", "kind", "moment"),
    [
        ("train", "labels", ("start", 1)),
        ("train", "spaces", ("step", 2)),
        ("validation", "fewer", ("step", 2)),
        ("test", "labels", ("step", 2)),
    ],
)
def test_other_rows_in_the_same_files_are_refused(
    small: Any, part: str, kind: str, moment: tuple[str, int]
) -> None:
    files = {name: small.write(f"{name}.jsonl", small.rows(name)) for name in small.files}
    config = small.config(data=files)
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter(*moment, Stop)])
    small.write(f"{part}.jsonl", _changed(small.rows(part), kind))
    with pytest.raises(RunDirectoryError, match=r"has other data than this run .*put the files ba"):
        resume_run(config.run.dir)
    small.write(f"{part}.jsonl", small.rows(part))
    assert resume_run(config.run.dir).data["stop_reason"] == "budget"


def test_other_rows_are_refused_where_a_method_has_no_checkpoint(small: Any) -> None:
    files = {name: small.write(f"{name}.jsonl", small.rows(name)) for name in small.files}
    config = small.config(data=files)
    with pytest.raises(Stop):
        run_method("random-search", config, observers=[interrupter("start", 1, Stop)])
    small.write("train.jsonl", _changed(small.rows("train"), "labels"))
    with pytest.raises(RunDirectoryError, match=r"other data than .* \(pool, train\)"):
        resume_run(config.run.dir)


def test_a_larger_budget_does_not_go_with_other_rows(small: Any) -> None:
    files = {name: small.write(f"{name}.jsonl", small.rows(name)) for name in small.files}
    config = small.config(data=files)
    run_config(config)
    small.write("test.jsonl", _changed(small.rows("test"), "labels"))
    with pytest.raises(RunDirectoryError, match=r"other data than .* \(test\)"):
        resume_run(config.run.dir, budget={"per_site": {"calls": 500}})


def test_rows_may_change_before_anything_is_recorded(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: small.write(f"{name}.jsonl", small.rows(name)) for name in small.files}
    config = small.config(data=files, method={"iterations": 1})
    with monkeypatch.context() as patch:
        patch.setattr(AsynDBT, "run", _stopped)
        with pytest.raises(Stop):
            run_config(config)
    small.write("train.jsonl", _changed(small.rows("train"), "labels"))
    assert run_config(config).data["iterations"] == 1


async def _stopped(*_: Any) -> None:
    raise Stop


def test_a_checkpoint_of_other_settings_is_refused(small: Any) -> None:
    config = small.config()
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("step", 2, Stop)])
    small.config(method={"eta_p": 2.0}).dump(config.run.dir / "config.toml")
    with pytest.raises(RunDirectoryError, match="written under other settings"):
        resume_run(config.run.dir)
