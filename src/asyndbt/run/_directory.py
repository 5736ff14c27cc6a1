"""A run is a directory: everything needed to resume it, everything it found, and its event log.

config.toml       the configuration, with all defaults
events.jsonl      what happened, one JSON object a line
checkpoint        the coordinator's state after its latest decision; before that: checkpoint.before
model.json        the language model: capabilities found by the probe, and the cost of the probe
judge.json        the same of the judge, if there is one
vocabulary.json   the hints of the sites' model, where it wrote the vocabulary, and what they cost
probe.sqlite      the requests of the probes, without texts
lock              held while a process works here
identity          the run's name in a cache shared with other runs
traffic.json      messages and bytes exchanged with each site
result.json       the outcome; no text of any example
sites/NAME/       a site's own part: state, digests of its data, paid answers, demonstrations, tuned
                  prompt, predictions
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from asyndbt.errors import RunDirectoryError
from asyndbt.lm import AnswerCache

_LOCK: Final = "lock"


def write_atomically(path: Path, data: bytes, *, keep: Path | None = None) -> None:
    """Replace a file; readers, and a crash, see either the old or the new content.

    Parameters
    ----------
    keep : Path, optional
        Where the old content is kept; a crash may leave it only there.

    Raises
    ------
    RunDirectoryError
        If it cannot be written: the disk is full, or the right to do so is missing.
    """
    temporary = path.with_name(path.name + ".new")
    with _writing(path):
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)


def replace_state(file: Path, data: bytes) -> None:
    """Write a state; the one that was there becomes the one before."""
    write_atomically(file, data, keep=state_before(file))


def state_before(file: Path) -> Path:
    """Return where the state before the latest is kept."""
    return file.with_name(f"{file.name}.before")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make a folder of a run and those above it, where they are missing.

    Raises
    ------
    RunDirectoryError
        If it cannot be made.
    """
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)


def to_json(value: Any) -> bytes:
    """Return JSON in the format of a run's files: sorted keys, indented by two spaces."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def read_record(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run.

    Raises
    ------
    RunDirectoryError
        If there is none: the file is damaged.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RunDirectoryError(
            f"{file}: cannot be read, it is damaged: put a copy of it back, or start again in "
            "another directory"
        )
    return content


class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check_unused(self) -> None:
        """Raise RunDirectoryError if a run is recorded here already."""
        if self.config_file.exists():
            raise RunDirectoryError(
                f"{self.path} holds a run already: go on with 'asyndbt resume {self.path}', or "
                "name another directory"
            )

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open the directory of an existing run.

        Raises
        ------
        RunDirectoryError
            If no run is recorded there.
        """
        directory = cls(path)
        if not directory.config_file.exists():
            raise RunDirectoryError(f"{path} is not the directory of a run: no config.toml in it")
        return directory

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the directory against other processes; the lock ends with the process.

        A directory that was made for it and in which nothing was written is removed again.

        Raises
        ------
        RunDirectoryError
            If another process holds the lock.
        """
        made = not self.path.exists()
        make_folder(self.path)
        try:
            # A lock of SQLite works on every system, and ends with its process.
            # It may be released by another thread than that which took it.
            lock = sqlite3.connect(
                self.path / _LOCK, timeout=0.0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.OperationalError as error:
            raise RunDirectoryError(f"{self.path / _LOCK}: cannot be written: {error}") from error
        with closing(lock):
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise RunDirectoryError(f"{self.path}: cannot be locked: {error}") from error
                raise RunDirectoryError(
                    f"{self.path} is in use: another process is working on this run; wait for it, "
                    "or stop it"
                ) from error
            try:
                yield
            finally:
                lock.close()
                if made:
                    self._remove_if_unused()

    def _remove_if_unused(self) -> None:
        if [file.name for file in self.path.iterdir()] == [_LOCK]:
            (self.path / _LOCK).unlink()
            self.path.rmdir()

    @property
    def config_file(self) -> Path:
        """The configuration, with all defaults."""
        return self.path / "config.toml"

    @property
    def result_file(self) -> Path:
        """The outcome; exists once the run is complete."""
        return self.path / "result.json"

    def site(self, name: str) -> Path:
        """Return the folder of a site; it is made if missing."""
        part = self.path / "sites" / name
        make_folder(part)
        return part

    def probe_cache(self, payer: str = "probe") -> AnswerCache:
        """Open the record of the requests that probe the language model, or another one."""
        return AnswerCache(self.path / "probe.sqlite", payer)

    @property
    def checkpoint_file(self) -> Path:
        """The coordinator's state after its latest decision."""
        return self.path / "checkpoint"

    def write_checkpoint(self, data: bytes) -> None:
        """Replace the checkpoint."""
        replace_state(self.checkpoint_file, data)

    def append_event(self, event: Event) -> None:
        """Append a line to the event log."""
        line = {"kind": event.kind, "elapsed": round(event.elapsed, 3), **event.data}
        with _writing(self._events), self._events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the event log, without lines that are no events, such as half of one."""
        if self._events.exists():
            for line in self._events.read_text("utf-8", "replace").splitlines():
                with suppress(ValueError, RecursionError):
                    event = json.loads(line)
                    if isinstance(event, dict) and "kind" in event:
                        yield event

    def events_length(self) -> int:
        """Return the size of the event log in bytes."""
        return self._events.stat().st_size if self._events.exists() else 0

    def cut_events(self, length: int) -> None:
        """Drop events logged after the checkpoint; a resumed run logs them again."""
        if self.events_length() > length:
            os.truncate(self._events, length)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the coordinator's part, or None if it is missing.

        Raises
        ------
        RunDirectoryError
            If it is damaged.
        """
        file = self.path / name
        return read_record(file) if file.exists() else None

    def identity(self) -> str:
        """Return a name that no other run has; it is made once."""
        file = self.path / "identity"
        if not file.exists():
            make_folder(self.path)
            write_atomically(file, uuid4().hex.encode())
        return file.read_text("ascii")

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a JSON file of the coordinator's part."""
        make_folder(self.path)
        write_atomically(self.path / name, to_json(value))

    @property
    def _events(self) -> Path:
        return self.path / "events.jsonl"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run.

    Parameters
    ----------
    kind : str
        ``start``, ``step``, ``phase``, ``joined``, ``gone``, ``back``, ``refused``, ``banned``,
        ``refresh``, ``warning`` or ``result``.
    data : mapping
        JSON values; no text of any example.
    elapsed : float
        Seconds since the start of the run, on the engine's clock.
    """

    kind: str
    data: Mapping[str, Any]
    elapsed: float


class Observer(Protocol):
    """Receives every event; cannot change the run, nor end it by an exception."""

    def __call__(self, event: Event) -> None:
        """Receive an event."""


CurveMoment = dict[str, Any]
"""``calls`` over all sites, ``site``, ``iteration``, ``train_loss``, ``validation_loss``,
``validation_accuracy`` (None where not measured), ``seconds``."""


def read_curve(directory: Path) -> list[CurveMoment]:
    """Return the curve of the run in a directory; empty if it took no step."""
    return list(curve_of_events(RunDirectory(directory).events()))


def curve_of_events(events: Iterable[Mapping[str, Any]]) -> Iterator[CurveMoment]:
    """Yield a moment for every step and every site that took part in it."""
    for event in events:
        if event["kind"] != "step":
            continue
        calls = sum(event["calls"].values())
        for site in event["active"]:
            validation = event["validation"].get(site) or {}
            yield {
                "calls": calls,
                "site": site,
                "iteration": event["iteration"],
                "train_loss": _rounded(event["loss"].get(site)),
                "validation_loss": _rounded(validation.get("loss")),
                "validation_accuracy": _rounded(validation.get("accuracy")),
                "seconds": event["elapsed"],
            }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
