"""A run is a directory: everything needed to resume it, and everything it found.

config.toml       the configuration, every default written out
events.jsonl      what happened, one JSON object a line
checkpoint        the coordinator after its latest decision
model.json        the language model: what a probe found that it can do, and what that cost
probe.sqlite      the requests of that probe, without a text
lock              held while a process works here
identity          the run's name in a cache that it shares with others
traffic.json      messages and bytes that crossed each site's border
result.json       the outcome; no text of any example
sites/NAME/       a site's own part: state, paid answers, demonstrations, tuned prompt, predictions

What observers of a run are told.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from asyndbt.errors import RunDirectoryError
from asyndbt.lm import AnswerCache


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a reader, or a crash, meets the old or the new content only."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_json(value: Any) -> bytes:
    """Return JSON as the files of a run have it: sorted keys, two spaces."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


class RunDirectory:
    """The files of one run.

    Parameters
    ----------
    path : Path
    """

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
        """Open the directory of a run that was started before.

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
        """Keep other processes from working here meanwhile; a killed process keeps nobody out.

        Raises
        ------
        RunDirectoryError
            If another process is at work here.
        """
        # A lock of SQLite is one on every system, and ends with its process.
        with closing(
            sqlite3.connect(self.path / "lock", timeout=0.0, isolation_level=None)
        ) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise RunDirectoryError(
                    f"{self.path} is in use: another process is carrying this run out; wait for "
                    "it, or stop it"
                ) from error
            yield

    @property
    def config_file(self) -> Path:
        """The configuration as resolved."""
        return self.path / "config.toml"

    @property
    def result_file(self) -> Path:
        """The outcome; there once the run is done."""
        return self.path / "result.json"

    def site(self, name: str) -> Path:
        """Return the site's own part, made if need be."""
        part = self.path / "sites" / name
        part.mkdir(parents=True, exist_ok=True)
        return part

    def probe_cache(self) -> AnswerCache:
        """Open the account of the requests that find out what the language model can do."""
        self.path.mkdir(parents=True, exist_ok=True)
        return AnswerCache(self.path / "probe.sqlite", "probe")

    def read_checkpoint(self) -> bytes | None:
        """Return the latest checkpoint, or None if the run never got that far."""
        file = self.path / "checkpoint"
        return file.read_bytes() if file.exists() else None

    def write_checkpoint(self, data: bytes) -> None:
        """Replace the checkpoint."""
        write_atomically(self.path / "checkpoint", data)

    def append_event(self, event: Event) -> None:
        """Add a line to the event log."""
        line = {"kind": event.kind, "elapsed": round(event.elapsed, 3), **event.data}
        with self._events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")

    def events_length(self) -> int:
        """Bytes of the event log."""
        return self._events.stat().st_size if self._events.exists() else 0

    def cut_events(self, length: int) -> None:
        """Drop what the log says beyond the checkpoint: a resumed run says it again."""
        if self.events_length() > length:
            os.truncate(self._events, length)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the coordinator's part, or None if it is not there."""
        file = self.path / name
        content: dict[str, Any] | None = None
        if file.exists():
            content = json.loads(file.read_text("utf-8"))
        return content

    def identity(self) -> str:
        """Return a name that no other run has; made once."""
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
    """Something happened.

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
    """Is shown every event and cannot change the run.

    Implementations: the live display and the JSON lines of the command.
    """

    def __call__(self, event: Event) -> None:
        """Take notice of an event."""
        ...
