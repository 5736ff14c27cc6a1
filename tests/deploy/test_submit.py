"""A run that is handed to the coordinator and followed, with a stand-in for Flower's commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import MovedClock, VirtualLoop

from asyndbt.cli import main
from asyndbt.deploy import _submit
from asyndbt.deploy._app import run_submitted
from asyndbt.deploy._submit import stop_run, submit_again, submit_run
from asyndbt.errors import DeployError, RunDirectoryError
from asyndbt.run import Event
from asyndbt.run._directory import RunDirectory
from asyndbt.testing import LoopbackGrid


class Stand:
    """Carries a submitted run out in a thread, while whoever follows it sleeps.

    The run's time is virtual, and the follower's is moved by its sleep alone.
    """

    home = Path("flower")

    def __init__(self, grid: Callable[[], LoopbackGrid]) -> None:
        self.grid = grid
        self.asked: list[tuple[str, ...]] = []
        self.files: list[str] = []
        self.dies = False
        self.threads: list[threading.Thread] = []
        self.clock = MovedClock(self.go_on)

    @property
    def given(self) -> dict[str, Any]:
        """What `submit_run` and `submit_again` need, to ask it and to keep its time."""
        return {"connect": lambda config: self, "clock": self.clock}

    def ask(self, *arguments: str) -> Mapping[str, Any]:
        self.asked.append(arguments)
        if arguments[0] == "run":
            app = Path(arguments[1])
            self.files = sorted(f.relative_to(app).as_posix() for f in app.rglob("*.*"))
            place = Path(json.loads(arguments[3].removeprefix("directory=")))
            if not self.dies:
                self.threads.append(threading.Thread(target=self._run, args=(place,)))
                self.threads[-1].start()
        at_work = any(thread.is_alive() for thread in self.threads)
        status = ("running", "") if at_work else ("finished:failed", "killed")
        runs = [dict(zip(("status", "status-details"), status, strict=True))]
        return {"success": True, "run-id": "7", "runs": runs}

    def go_on(self) -> None:
        for thread in self.threads:
            thread.join(0.01)

    def _run(self, place: Path) -> None:
        with suppress(Exception):
            run_submitted(place, self.grid(), VirtualLoop)


@pytest.fixture
def stand(federation: Any) -> Iterator[Stand]:
    made = Stand(federation.grid)
    yield made
    for thread in made.threads:
        thread.join(60)


@pytest.fixture
def short(federation: Any) -> Any:
    """A run of few steps."""
    federation.write(method={"iterations": 4, "refresh_every": 0})
    return federation


def test_a_submitted_run_is_followed_to_its_result(short: Any, stand: Stand) -> None:
    seen: list[Event] = []
    result = submit_run(short.config, observers=[seen.append], **stand.given)
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
    assert submit_again(result.directory, **stand.given).data == result.data
    with pytest.raises(RunDirectoryError, match="holds a run already"):
        submit_run(short.config, **stand.given)


def test_an_observer_that_fails_does_not_end_the_run(short: Any, stand: Stand) -> None:
    def broken(event: Event) -> None:
        raise OSError("no terminal")

    with pytest.warns(UserWarning, match="observer broken has failed .*: no terminal"):
        result = submit_run(short.config, observers=[broken], **stand.given)
    assert result.data["iterations"] == 4


def test_a_run_that_ends_while_its_events_are_read_loses_none(
    short: Any, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _submit._new_lines

    def read_slowly(log: Path, offset: int) -> tuple[list[bytes], int]:
        found = read(log, offset)
        for thread in stand.threads:
            thread.join()
        return found

    monkeypatch.setattr(_submit, "_new_lines", read_slowly)
    seen: list[Event] = []
    submit_run(short.config, observers=[seen.append], **stand.given)
    assert seen[-1].kind == "result"


def test_a_run_that_fails_says_why_and_can_be_taken_up(short: Any, stand: Stand) -> None:
    class Broken(LoopbackGrid):
        def nodes(self) -> list[int]:
            raise ConnectionError("the line is down")

    stand.grid = Broken
    with pytest.raises(DeployError, match="the line is down"):
        submit_run(short.config, **stand.given)
    stand.grid = short.grid
    seen: list[Event] = []
    result = submit_again(short.config.run.dir, observers=[seen.append], **stand.given)
    assert result.data["iterations"] == 4
    assert "joined" in {event.kind for event in seen}


def test_a_run_that_was_killed_is_noticed(short: Any, stand: Stand) -> None:
    stand.dies = True
    with pytest.raises(DeployError, match=r"finished:failed killed.*asyndbt resume"):
        submit_run(short.config, **stand.given)


def test_a_run_that_fails_while_flower_is_asked_says_why(short: Any, stand: Stand) -> None:
    """Flower takes seconds over an answer, and the run may have come to its end meanwhile."""
    stand.dies, ask = True, stand.ask

    def slowly(*arguments: str) -> Mapping[str, Any]:
        if arguments[0] == "list":
            failure = {"kind": "ConnectionError", "text": "the line is down"}
            RunDirectory(short.config.run.dir).write_json("failure.json", failure)
        return ask(*arguments)

    stand.ask = slowly  # type: ignore[method-assign]
    with pytest.raises(DeployError, match="the line is down"):
        submit_run(short.config, **stand.given)


def away(stand: Stand, times: float) -> list[float]:
    """Have Flower not answer so many questions about the run; return when it was asked."""
    ask, moments = stand.ask, []

    def sometimes(*arguments: str) -> Mapping[str, Any]:
        if arguments[0] == "list":
            moments.append(stand.clock.now)
            if len(moments) <= times:
                raise DeployError("flwr list: unavailable")
            return {"runs": [{"status": "running", "status-details": ""}]}
        return ask(*arguments)

    stand.ask = sometimes  # type: ignore[method-assign]
    return moments


def test_a_coordinator_that_is_away_for_a_moment_ends_nothing(short: Any, stand: Stand) -> None:
    asked, moments, grid = threading.Event(), away(stand, 3), stand.grid

    def later() -> LoopbackGrid:
        asked.wait()
        return grid()

    def meanwhile() -> None:
        if len(moments) > 3:
            asked.set()
        stand.go_on()

    stand.grid, stand.clock.meanwhile = later, meanwhile
    assert submit_run(short.config, **stand.given).data["iterations"] == 4
    assert len(moments) > 3, "it was asked meanwhile"


def test_a_coordinator_that_stays_away_ends_the_waiting(short: Any, stand: Stand) -> None:
    stand.dies, moments = True, away(stand, float("inf"))
    with pytest.raises(DeployError, match="unavailable"):
        submit_run(short.config, **stand.given)
    assert 60.0 < moments[-1] - moments[0] < 61.0


def killed(federation: Any, stand: Stand) -> RunDirectory:
    """The directory of a run that came to nothing."""
    stand.dies = True
    with pytest.raises(DeployError):
        submit_run(federation.config, **stand.given)
    stand.dies = False
    return RunDirectory(federation.config.run.dir)


def test_a_resume_waits_for_the_process_that_has_not_noticed_yet(short: Any, stand: Stand) -> None:
    directory = killed(short, stand)
    with ExitStack() as lingering:
        lingering.enter_context(directory.claimed())
        notices = stand.clock.now + 30.0

        def meanwhile() -> None:
            if stand.clock.now >= notices:
                lingering.close()
            stand.go_on()

        stand.clock.meanwhile = meanwhile
        assert submit_again(directory.path, **stand.given).data["iterations"] == 4
    assert stand.clock.now >= notices


def test_a_resume_waits_for_a_minute_at_most(short: Any, stand: Stand) -> None:
    directory = killed(short, stand)
    begun = stand.clock.now
    with directory.claimed(), pytest.raises(RunDirectoryError, match="is in use"):
        submit_again(directory.path, **stand.given)
    assert 60.0 < stand.clock.now - begun < 61.0


def test_ctrl_c_stops_the_run_where_it_is(short: Any, stand: Stand) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit_run(short.config, observers=[interrupt], **stand.given)
    assert stand.asked[-1] == ("stop", "7")
    assert stop_run(short.config.run.dir, connect=lambda config: stand) == "7"


def test_the_commands_submit_and_resume(
    short: Any, stand: Stand, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in (submit_run, submit_again):
        name = f"asyndbt.cli._run.{function.__name__}"
        monkeypatch.setattr(name, partial(function, **stand.given))
    assert main(["run", str(short.shared), "--quiet"]) == 0
    assert "The tuned prompts are at the sites" in capsys.readouterr().out
    assert main(["resume", str(short.config.run.dir), "--quiet"]) == 0
    assert [asked[0] for asked in stand.asked if asked[0] != "list"] == ["run"]
    assert main(["stop", str(short.folder)]) == 1
    assert "not the directory of a run" in capsys.readouterr().err
