"""What all trackers share: when they begin, what they are told, and that they stop no run.

The numbers of an event under flat names, as trackers of experiments want them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from asyndbt.run import Event

__all__ = ["Tracker", "figures_of", "settings_of"]


class Tracker:
    """An observer that hands a run's numbers on; no text of any example is among them.

    A tracker that fails says so once and is silent from then on: the run, which may cost money,
    goes on. Used as a context manager, it is also closed when the run ends in an error::

        with TensorBoardTracker("logs") as tracker:
            asyndbt.tune("asyndbt.toml", observers=[tracker])
    """

    def __init__(self) -> None:
        self._begun = self._over = False
        self._iteration = 0

    def __call__(self, event: Event) -> None:
        """Take notice of an event."""
        if self._over:
            return
        try:
            self._take(event)
        except Exception as error:
            self._over = True
            warnings.warn(
                f"{type(self).__name__} has failed and is switched off; the run goes on: {error}",
                stacklevel=2,
            )

    def _take(self, event: Event) -> None:
        if not self._begun:
            self._begun = True
            self.begin(settings_of(event.data) if event.kind == "start" else {})
        if event.kind == "step":
            self._iteration = int(event.data["iteration"])
            self.log(figures_of(event.data), self._iteration)
        elif event.kind == "result":
            self.log(figures_of({"result": event.data}), self._iteration)
            self.close(finished=True)

    def close(self, *, finished: bool) -> None:
        """End the tracking, once."""
        if self._begun and not self._over:
            self.end(finished)
        self._over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(finished=kind is None)

    # ------------------------------------------------------------------ what a tracker does
    def begin(self, settings: Mapping[str, str]) -> None:
        """Open the tracking of a run; a resumed one says nothing of its settings."""
        raise NotImplementedError

    def log(self, figures: Mapping[str, float], iteration: int) -> None:
        """Hand on numbers of a server step."""
        raise NotImplementedError

    def end(self, finished: bool) -> None:
        """Close the tracking, of a run that came to its end or did not."""
        raise NotImplementedError


_REPORTED = ("loss", "validation", "entropy_q")
_LEFT_OUT = frozenset(
    {"calls_limit", "iteration", "model", "n", "schema_version", "seconds_left", "seed"}
)


def figures_of(data: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in an event, nested names joined by a slash.

    A step repeats what silent sites said last; of what sites report, only the active ones' is
    taken.

    Parameters
    ----------
    data : mapping
        Of an event "step" or "result".

    Examples
    --------
    >>> figures_of({"loss": {"north": 0.5, "south": 0.9}, "active": ["north"], "planes": 2})
    {'loss/north': 0.5, 'planes': 2.0}
    >>> figures_of({"metrics": {"test": {"tuned": {"accuracy": 0.9, "interval": [0.8, 1.0]}}}})
    {'metrics/test/tuned/accuracy': 0.9}
    """
    found = dict(data)
    for key in _REPORTED if "active" in data else ():
        said = data.get(key, {})
        found[key] = {name: said[name] for name in data["active"] if name in said}
    return dict(sorted(_flat("", found)))


def settings_of(start: Mapping[str, Any]) -> dict[str, str]:
    """Return what a run says of itself at its start, but for where it lies.

    Examples
    --------
    >>> settings_of({"quorum": 2, "sites": {"north": {}}, "directory": "/runs/one"})
    {'quorum': '2', 'sites': 'north'}
    """
    shown = {key: value for key, value in start.items() if key != "directory"}
    return {key: ", ".join(value) if key == "sites" else str(value) for key, value in shown.items()}


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if key in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}/", value)
        elif type(value) in (int, float) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)
