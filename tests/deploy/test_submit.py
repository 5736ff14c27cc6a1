"""A run that is handed to the coordinator and followed, with a stand-in for Flower's commands."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli import main
from asyndbt.deploy import _submit as submit
from asyndbt.deploy._app import run_submitted
from asyndbt.deploy._submit import stop_run, submit_again, submit_run
from asyndbt.errors import DeployError, RunDirectoryError
from asyndbt.run import Event
from asyndbt.run._directory import RunDirectory
from asyndbt.testing import LoopbackGrid


class Stand:
    """Carries a submitted run out in a thread."""

    home = Path("flower")

    def __init__(self, grid: Callable[[], LoopbackGrid]) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.files: list[str] = []
        self.dies = False
        self._grid = grid
        self.threads: list[threading.Thread] = []

    def ask(self, *arguments: str) -> Mapping[str, Any]:
        self.asked.append(arguments)
        if arguments[0] == "run":
            app = Path(arguments[1])
            self.files = sorted(f.relative_to(app).as_posix() for f in app.rglob("*.*"))
            place = Path(json.loads(arguments[3].removeprefix("directory=")))
            if not self.dies:
                self.threads.append(threading.Thread(target=self._run, args=(place,)))
                self.threads[-1].start()
        status = {"status": "finished:failed", "status-details": "killed"}
        return {"success": True, "run-id": "7", "runs": [status]}

    def _run(self, place: Path) -> None:
        try:
            run_submitted(place, self._grid())
        except Exception:
            return


@pytest.fixture
def stand(federation: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    made = Stand(federation.grid)
    monkeypatch.setattr(submit, "_flower", lambda config: made)
    monkeypatch.setattr(submit, "_GLANCE", 0.01)
    yield made
    for thread in made.threads:
        thread.join(60)


@pytest.fixture
def quick(federation: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A short run, looked at often."""
    from asyndbt.deploy import _conduct as conduct

    monkeypatch.setattr(
        conduct.conduct,
        "__kwdefaults__",
        {**(conduct.conduct.__kwdefaults__ or {}), "poll": 0.001, "look": 0.05},
    )
    federation.write(method={"iterations": 4, "refresh_every": 0})
    return federation


def test_a_submitted_run_is_followed_to_its_result(quick: Any, stand: Stand) -> None:
    seen: list[Event] = []
    result = submit_run(quick.config, observers=[seen.append])
    kinds = [event.kind for event in seen]
    assert kinds[0] == "start"
    assert kinds[-1] == "result"
    assert kinds.count("step") == 4
    assert seen[0].data["directory"] == str(result.directory)
    assert result.data["iterations"] == 4
    assert stand.files == [
        "asyndbt_relay/__init__.py",
        "asyndbt_relay/client_app.py",
        "asyndbt_relay/server_app.py",
        "pyproject.toml",
    ]
    assert submit_again(result.directory).data == result.data
    with pytest.raises(RunDirectoryError, match="holds a run already"):
        submit_run(quick.config)


def test_a_run_that_fails_says_why_and_can_be_taken_up(
    quick: Any, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(LoopbackGrid):
        def nodes(self) -> list[int]:
            raise ConnectionError("the line is down")

    monkeypatch.setattr(stand, "_grid", Broken)
    with pytest.raises(DeployError, match="the line is down"):
        submit_run(quick.config)
    monkeypatch.setattr(stand, "_grid", quick.grid)
    seen: list[Event] = []
    result = submit_again(quick.config.run.dir, observers=[seen.append])
    assert result.data["iterations"] == 4
    assert "joined" in {event.kind for event in seen}


def test_a_run_that_was_killed_is_noticed(
    quick: Any, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_INQUIRY", 0.05)
    stand.dies = True
    with pytest.raises(DeployError, match=r"finished:failed killed.*asyndbt resume"):
        submit_run(quick.config)


def test_a_coordinator_that_is_away_for_a_moment_ends_nothing(
    quick: Any, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_INQUIRY", 0.0)
    ask, away = stand.ask, iter([True] * 3)

    def sometimes(*arguments: str) -> Mapping[str, Any]:
        if arguments[0] == "list":
            if next(away, False):
                raise DeployError("flwr list: unavailable")
            return {"runs": [{"status": "running", "status-details": ""}]}
        return ask(*arguments)

    monkeypatch.setattr(stand, "ask", sometimes)
    assert submit_run(quick.config).data["iterations"] == 4
    assert next(away, None) is None, "it was asked meanwhile"


def test_a_resume_waits_for_the_process_that_has_not_noticed_yet(
    quick: Any, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_INQUIRY", 0.0)
    stand.dies = True
    with pytest.raises(DeployError):
        submit_run(quick.config)
    stand.dies = False
    monkeypatch.setattr(submit, "_INQUIRY", 60.0)
    held, directory = threading.Event(), RunDirectory(quick.config.run.dir)

    def linger() -> None:
        with directory.claimed():
            held.set()
            time.sleep(0.3)

    threading.Thread(target=linger).start()
    held.wait(10)
    assert submit_again(directory.path).data["iterations"] == 4


def test_ctrl_c_stops_the_run_where_it_is(quick: Any, stand: Stand) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit_run(quick.config, observers=[interrupt])
    assert stand.asked[-1] == ("stop", "7")
    assert stop_run(quick.config.run.dir) == "7"


def test_the_commands_submit_and_resume(
    quick: Any, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(quick.shared), "--quiet"]) == 0
    assert "The tuned prompts are at the sites" in capsys.readouterr().out
    assert main(["resume", str(quick.config.run.dir), "--quiet"]) == 0
    assert [asked[0] for asked in stand.asked] == ["run"]
    assert main(["stop", str(quick.folder)]) == 1
    assert "not the directory of a run" in capsys.readouterr().err
