"""A run is a directory: everything needed to resume it, everything it found, and its event log.

config.toml       the configuration, with all defaults
events.jsonl      what happened, one JSON object a line
checkpoint        the coordinator's state after its latest decision
model.json        the language model: capabilities found by the probe, and the cost of the probe
probe.sqlite      the requests of the probe, without texts
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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from asyndbt.errors import RunDirectoryError
from asyndbt.lm import AnswerCache


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file; readers, and a crash, see either the old or the new content."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_json(value: Any) -> bytes:
    """Return JSON in the format of a run's files: sorted keys, indented by two spaces."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


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

        Raises
        ------
        RunDirectoryError
            If another process holds the lock.
        """
        # A lock of SQLite works on every system, and ends with its process.
        lock = sqlite3.connect(self.path / "lock", timeout=0.0, isolation_level=None)
        with closing(lock):
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise RunDirectoryError(
                    f"{self.path} is in use: another process is working on this run; wait for it, "
                    "or stop it"
                ) from error
            yield

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
        part.mkdir(parents=True, exist_ok=True)
        return part

    def probe_cache(self) -> AnswerCache:
        """Open the record of the requests that probe the language model."""
        self.path.mkdir(parents=True, exist_ok=True)
        return AnswerCache(self.path / "probe.sqlite", "probe")

    def read_checkpoint(self) -> bytes | None:
        """Return the latest checkpoint, or None if there is none."""
        file = self.path / "checkpoint"
        return file.read_bytes() if file.exists() else None

    def write_checkpoint(self, data: bytes) -> None:
        """Replace the checkpoint."""
        write_atomically(self.path / "checkpoint", data)

    def append_event(self, event: Event) -> None:
        """Append a line to the event log."""
        line = {"kind": event.kind, "elapsed": round(event.elapsed, 3), **event.data}
        with self._events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the event log; nothing where there is none."""
        if self._events.exists():
            yield from map(json.loads, self._events.read_text("utf-8").splitlines())

    def events_length(self) -> int:
        """Return the size of the event log in bytes."""
        return self._events.stat().st_size if self._events.exists() else 0

    def cut_events(self, length: int) -> None:
        """Drop events logged after the checkpoint; a resumed run logs them again."""
        if self.events_length() > length:
            os.truncate(self._events, length)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the coordinator's part, or None if it is missing."""
        file = self.path / name
        content: dict[str, Any] | None
        content = json.loads(file.read_text("utf-8")) if file.exists() else None
        return content

    def identity(self) -> str:
        """Return a name that no other run has; it is made once."""
        file = self.path / "identity"
        if not file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(file, uuid4().hex.encode())
        return file.read_text("ascii")

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a JSON file of the coordinator's part."""
        self.path.mkdir(parents=True, exist_ok=True)
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
