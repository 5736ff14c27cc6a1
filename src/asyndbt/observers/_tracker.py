"""The base of trackers: when they open, what they log, and that a failing one stops no run."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

from asyndbt.run import Event

_REPORTED = ("loss", "validation", "entropy_q")
_OMITTED = frozenset(
    {"calls_limit", "iteration", "model", "n", "schema_version", "seconds_left", "seed"}
)


class Tracker(ABC):
    """An observer that logs a run's numbers; no text of any example is among them.

    A tracker that fails warns once and is silent from then on: the run, which may cost money,
    goes on. Used as a context manager, it is also closed when the run ends in an error::

        with TensorBoardTracker("logs") as tracker:
            asyndbt.tune("asyndbt.toml", observers=[tracker])
    """

    def __init__(self) -> None:
        self._open = self._closed = False
        self._iteration = 0

    @abstractmethod
    def begin(self, settings: Mapping[str, str]) -> None:
        """Open the tracking of a run; a resumed one has no settings."""

    @abstractmethod
    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Log the metrics of a server step."""

    @abstractmethod
    def end(self, finished: bool) -> None:
        """Close the tracking of a run that finished or was broken off."""

    def __call__(self, event: Event) -> None:
        """Log an event."""
        if self._closed:
            return
        try:
            self._take(event)
        except Exception as error:
            self._closed = True
            warnings.warn(
                f"{type(self).__name__} has failed and is switched off; the run goes on: {error}",
                stacklevel=2,
            )

    def _take(self, event: Event) -> None:
        if not self._open:
            self._open = True
            self.begin(_settings(event.data) if event.kind == "start" else {})
        if event.kind == "step":
            self._iteration = int(event.data["iteration"])
            self.log(_metrics(event.data), self._iteration)
        elif event.kind == "result":
            self.log(_metrics({"result": event.data}), self._iteration)
            self.close(finished=True)

    def close(self, *, finished: bool) -> None:
        """End the tracking, once."""
        if self._open and not self._closed:
            self.end(finished)
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(finished=kind is None)


def _settings(start: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of the event "start" as text, without the path of the record.

    Examples
    --------
    >>> _settings({"quorum": 2, "sites": {"north": {}}, "directory": "/runs/one"})
    {'quorum': '2', 'sites': 'north'}
    """
    shown = {key: value for key, value in start.items() if key != "directory"}
    return {key: ", ".join(value) if key == "sites" else str(value) for key, value in shown.items()}


def _metrics(data: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in an event "step" or "result", nested names joined by a slash.

    A step repeats the latest reports of sites that it did not use; these are left out.

    Examples
    --------
    >>> _metrics({"loss": {"north": 0.5, "south": 0.9}, "active": ["north"], "planes": 2})
    {'loss/north': 0.5, 'planes': 2.0}
    >>> _metrics({"metrics": {"test": {"tuned": {"accuracy": 0.9, "interval": [0.8, 1.0]}}}})
    {'metrics/test/tuned/accuracy': 0.9}
    """
    found = dict(data)
    for key in _REPORTED if "active" in data else ():
        reported = data.get(key, {})
        found[key] = {name: reported[name] for name in data["active"] if name in reported}
    return dict(sorted(_flat("", found)))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if key in _OMITTED:
            continue
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}/", value)
        elif type(value) in (int, float) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)
