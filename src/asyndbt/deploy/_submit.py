"""Submit a run to the coordinator, and follow it through the files in its directory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from asyndbt.config import Config, load_config
from asyndbt.deploy._app import bundled
from asyndbt.deploy._conduct import FAILURE
from asyndbt.deploy._flower import Flower, connected
from asyndbt.errors import DeployError, RunDirectoryError
from asyndbt.run import (
    Event,
    Observer,
    Observers,
    Result,
    RunDirectory,
    saved_states,
    write_atomically,
)

_TICKET = "flower-run"
_POLL, _QUERY = 0.3, 10.0
"""Seconds between checks of the directory, and queries to Flower about the run's status."""
_PATIENCE = 60.0
"""Seconds for which a coordinator may be unreachable, as during a restart."""
Connect = Callable[[Config], Flower]


class Clock(Protocol):
    """The part of the module `time` that waiting needs."""

    def monotonic(self) -> float:
        """Return seconds since some moment."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


def submit_run(
    config: Config,
    *,
    observers: Sequence[Observer] = (),
    connect: Connect = connected,
    clock: Clock = time,
) -> Result:
    """Submit a run across sites, and wait for its end; Ctrl-C stops the run, which can be resumed.

    Parameters
    ----------
    config : Config
        Of engine "flower".
    connect : callable
        Returns Flower's commands for the coordinator that a configuration names.

    Raises
    ------
    DeployError
        If the coordinator does not answer, or the run failed.
    RunDirectoryError
        If the directory already holds a run.
    """
    directory = RunDirectory(config.run.dir)
    directory.check_unused()
    flower = connect(config)
    directory.path.mkdir(parents=True, exist_ok=True)
    write_atomically(directory.config_file, config.to_toml().encode())
    return _submit(flower, directory, observers, clock)


def submit_again(
    path: Path,
    *,
    observers: Sequence[Observer] = (),
    connect: Connect = connected,
    clock: Clock = time,
) -> Result:
    """Resume a run across sites from its latest checkpoint; a finished one is only read.

    The parameters are those of `submit_run`.

    Raises
    ------
    DeployError
        If the coordinator does not answer, or the run failed.
    RunDirectoryError
        If there is no run, or another process keeps working on it.
    """
    directory = RunDirectory.open(path)
    if directory.result_file.exists():
        return Result(path)
    _drop_after_checkpoint(directory, clock)
    flower = connect(load_config(directory.config_file))
    return _submit(flower, directory, observers, clock)


def stop_run(path: Path, *, connect: Connect = connected) -> str:
    """Stop the run in a directory, which can be resumed; return its number at Flower."""
    directory = RunDirectory.open(path)
    try:
        ticket = (path / _TICKET).read_text("ascii").strip()
    except FileNotFoundError:
        raise RunDirectoryError(f"{path}: nothing was submitted from here") from None
    connect(load_config(directory.config_file)).ask("stop", ticket)
    return ticket


def _drop_after_checkpoint(directory: RunDirectory, clock: Clock) -> None:
    """Drop events logged after the checkpoint, once no other process works in the directory.

    When a coordinator is killed, the process of its run takes a while to notice.
    """
    end = clock.monotonic() + _PATIENCE
    while True:
        try:
            with directory.claimed():
                states, damaged = saved_states(directory.checkpoint_file)
                if states or not damaged:  # else a copy of the checkpoint may be put back
                    directory.cut_events(states[0].fields["more"]["events"] if states else 0)
                (directory.path / FAILURE).unlink(missing_ok=True)
            return
        except RunDirectoryError:
            if clock.monotonic() > end:
                raise
        clock.sleep(_POLL)


def _submit(
    flower: Flower, directory: RunDirectory, observers: Sequence[Observer], clock: Clock
) -> Result:
    path = directory.path.resolve()
    seen = directory.events_length()
    with bundled() as app:
        place = f"directory={json.dumps(str(path))}"
        started = flower.ask("run", str(app), "--run-config", place)
    ticket, show = str(started["run-id"]), Observers(observers)
    write_atomically(path / _TICKET, ticket.encode())
    try:
        for event in _events(flower, path, ticket, seen, clock):
            show(event)
    except KeyboardInterrupt:
        with suppress(DeployError):
            flower.ask("stop", ticket)
        raise
    return Result(path)


def _events(flower: Flower, path: Path, ticket: str, offset: int, clock: Clock) -> Iterator[Event]:
    """Yield the run's events until it has a result.

    Raises
    ------
    DeployError
        If it ends without one.
    """
    asked = clock.monotonic()
    while True:
        done = (path / "result.json").exists()
        failed = RunDirectory(path).read_json(FAILURE)
        lines, offset = _new_lines(path / "events.jsonl", offset)
        yield from (_event(line, path) for line in lines)
        if done:
            return
        if failed is not None:
            raise DeployError(f"{failed['kind']}: {failed['text']}")
        if clock.monotonic() - asked > _QUERY:
            _check_alive(flower, path, ticket, clock)
            asked = clock.monotonic()
        clock.sleep(_POLL)


def _check_alive(flower: Flower, path: Path, ticket: str, clock: Clock) -> None:
    """Raise DeployError if the run ended without a record, or the coordinator does not answer."""
    end = clock.monotonic() + _PATIENCE
    while True:
        try:
            (run,) = flower.ask("list", "--run-id", ticket)["runs"]
            break
        except DeployError:
            if clock.monotonic() > end:
                raise
        clock.sleep(_POLL)
    recorded = any((path / name).exists() for name in ("result.json", FAILURE))
    if run["status"].startswith("finished") and not recorded:
        raise DeployError(
            f"the run ended without a result ({run['status']} {run['status-details']}): see "
            f"{flower.home / 'logs' / 'superlink.log'}; go on with 'asyndbt resume {path}'"
        )


def _new_lines(log: Path, offset: int) -> tuple[list[bytes], int]:
    """Return complete lines after an offset, and the offset of their end."""
    if not log.exists():
        return [], offset
    with log.open("rb") as file:
        file.seek(offset)
        text, newline, _ = file.read().rpartition(b"\n")
    return text.split(b"\n") if newline else [], offset + len(text) + len(newline)


def _event(line: bytes, path: Path) -> Event:
    data = json.loads(line)
    kind, elapsed = data.pop("kind"), data.pop("elapsed")
    return Event(kind, data | ({"directory": str(path)} if kind == "start" else {}), elapsed)
