"""How far a method has come: points of a curve, and events for the record and the observers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyndbt.federation import Score
from asyndbt.run.assembly import Assembly
from asyndbt.run.directory import RunDirectory
from asyndbt.run.events import Event, Observer

__all__ = ["Progress", "curve_of_events"]

Point = dict[str, Any]
"""``calls`` over all sites, ``site``, ``iteration``, ``train_loss``, ``validation_loss``,
``validation_accuracy`` (None where not measured), ``seconds``."""


class Progress:
    """Curve, event log and observers of one baseline.

    Parameters
    ----------
    directory : RunDirectory
    assembly : Assembly
    observers : sequence of Observer
    """

    def __init__(
        self, directory: RunDirectory, assembly: Assembly, observers: Sequence[Observer]
    ) -> None:
        self._directory, self._assembly, self._observers = directory, assembly, observers
        self._started = time.monotonic()
        self.curve: list[Point] = []

    def note(
        self,
        site: str | None,
        iteration: int,
        train_loss: float | None = None,
        validation: Score | None = None,
    ) -> None:
        """Add a point to the curve.

        Parameters
        ----------
        site : str or None
            Whose figures they are; None for all sites together.
        iteration : int
            Of the method at that site.
        train_loss : float, optional
            Nats, of the prompts just tried.
        validation : Score, optional
        """
        seconds = time.monotonic() - self._started
        sites = self._assembly.sites.values()
        calls = sum(s.worker.objective.spent().calls for s in sites)
        point = _point(calls, site, iteration, train_loss, validation, seconds)
        self.curve.append(point)
        self.tell("progress", **{key: value for key, value in point.items() if key != "seconds"})

    def tell(self, kind: str, **data: Any) -> None:
        """Log an event and show it; where the run lies is for the observers alone."""
        elapsed = time.monotonic() - self._started
        logged = {key: value for key, value in data.items() if key != "directory"}
        self._directory.append_event(Event(kind, logged, elapsed))
        for observer in self._observers:
            observer(Event(kind, data, elapsed))


def curve_of_events(events: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Return the curve of a run of AsynDBT: a point per server step and site that took part.

    Parameters
    ----------
    events : iterable of mapping
        Lines of its event log.
    """
    curve: list[Point] = []
    for event in events:
        if event["kind"] != "step":
            continue
        calls = sum(event["calls"].values())
        for name in event["active"]:
            look = event["validation"].get(name)
            score = look and Score(look["accuracy"] * look["n"], look["n"], look["loss"])
            loss = event["loss"].get(name)
            curve.append(_point(calls, name, event["iteration"], loss, score, event["elapsed"]))
    return curve


def _point(
    calls: int,
    site: str | None,
    iteration: int,
    train_loss: float | None,
    validation: Score | None,
    seconds: float,
) -> Point:
    looked = validation is not None and validation.n > 0
    return {
        "calls": calls,
        "site": site,
        "iteration": iteration,
        "train_loss": None if train_loss is None else round(float(train_loss), 6),
        "validation_loss": round(validation.loss, 6) if looked and validation else None,
        "validation_accuracy": (
            round(validation.correct / validation.n, 6) if looked and validation else None
        ),
        "seconds": round(seconds, 3),
    }
