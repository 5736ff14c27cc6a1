"""Writes down what happens in a run, and tells its observers.

How far a method has come: points of a curve, and events for the record and the observers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from asyndbt.config import Config
from asyndbt.federation import Coordinator, Score, snapshot
from asyndbt.federation.engines import Channel
from asyndbt.run._directory import Event, Observer, RunDirectory
from asyndbt.run._inputs import make_task
from asyndbt.run._setup import RunSetup

__all__ = ["Progress", "Recorder", "curve_of_events"]


class Recorder:
    """Event log, checkpoints and observers of one run.

    Parameters
    ----------
    directory : RunDirectory
    coordinator : Coordinator
    wire : Wire
    config : Config
    assembly : Assembly
    observers : sequence of Observer
    """

    def __init__(
        self,
        directory: RunDirectory,
        coordinator: Coordinator,
        wire: Channel,
        config: Config,
        assembly: RunSetup,
        observers: Sequence[Observer],
    ) -> None:
        self._directory, self._coordinator, self._wire = directory, coordinator, wire
        self._config, self._assembly, self._observers = config, assembly, observers
        self._handed_out = -1
        self._begun: tuple[float, float] | None = None

    def introduce(self, elapsed: float, *, anew: bool) -> None:
        """Say what is about to run; `anew`, it goes into the log too."""
        say = self.tell if anew else self._show
        say("start", elapsed, **self._start())
        for text in self._assembly.warnings:
            say("warning", elapsed, text=text)

    def _start(self) -> dict[str, Any]:
        config, plan = self._config, self._assembly.plan
        parts = ("train", "validation", "test")
        return dict(
            directory=str(self._directory.path),
            sites={
                name: dict(zip(parts, site.worker.objective.counts, strict=True))
                for name, site in self._assembly.sites.items()
            }
            or {name: {} for name in plan.sites},
            quorum=plan.quorum,
            positions=plan.positions,
            words=plan.words,
            **self._demonstrations(),
            limits={name: getattr(config.budget, name) for name in ("calls", "tokens", "money")},
            preset=config.method.preset,
            mode=config.method.mode,
            model=config.lm.title if self._assembly.sites else "each site's own model",
            seed=config.run.seed,
        )

    def _demonstrations(self) -> dict[str, int]:
        """Slots, and candidates of each; where all sites are elsewhere, the latter are theirs."""
        for site in self._assembly.sites.values():
            shape = site.prompts.shape
            return {"slots": shape.slots, "candidates": shape.candidates}
        method = self._config.method
        if method.mode == "fragment":
            return {"slots": 0, "candidates": 0}
        labels = len(make_task(self._config).labels)
        per_class = method.demonstrations_per_class or 0
        return {"slots": method.demonstrations_total or per_class * labels, "candidates": 0}

    def changed(self, now: float) -> None:
        """Log what the coordinator decided; write a checkpoint before its work is sent."""
        for notice in self._coordinator.notices():
            data = {key: value for key, value in notice.items() if key != "kind"}
            if notice["kind"] == "step":
                data |= self._progress(data, now)
            self.tell(notice["kind"], now, **data)
        done = self._coordinator.phase == "done"
        if self._coordinator.next_id != self._handed_out or done:
            self._handed_out = self._coordinator.next_id
            self._directory.write_checkpoint(
                snapshot(
                    self._coordinator,
                    elapsed=now,
                    events=self._directory.events_length(),
                    traffic=self._wire.traffic,
                    settings=self._config.fingerprint(),
                    version=version("asyndbt"),
                )
            )

    def tell(self, kind: str, elapsed: float, **data: Any) -> None:
        """Log one event and show it to the observers.

        The log may be passed on: where it lies on this machine is for the observers alone.
        """
        logged = {key: value for key, value in data.items() if key != "directory"}
        self._directory.append_event(Event(kind, logged, elapsed))
        self._show(kind, elapsed, **data)

    def _show(self, kind: str, elapsed: float, **data: Any) -> None:
        event = Event(kind, data, elapsed)
        for observer in self._observers:
            observer(event)

    def _progress(self, step: dict[str, Any], now: float) -> dict[str, Any]:
        """Calls so far, and time left until the first of the limits of tuning."""
        share = self._share()
        if self._begun is None:
            self._begun = (now, share)
        start, first = self._begun
        done = (share - first) / max(1e-9, 1 - first)
        left = (now - start) * (1 / done - 1) if done > 0 else None
        return {
            "phase": "tuning",
            "calls_total": sum(step["calls"].values()),
            "calls_limit": self._limit("calls"),
            "seconds_left": None if left is None else round(max(0.0, left), 1),
        }

    def _share(self) -> float:
        """Share of the limit that is nearest: of calls, tokens, money or iterations."""
        spent = [member.spent for member in self._coordinator.roster]
        used = {
            "calls": sum(s.calls for s in spent),
            "tokens": sum(s.tokens_in + s.tokens_out for s in spent),
            "money": sum(s.money for s in spent),
        }
        limits = {field: self._limit(field) for field in used}
        shares = [used[field] / limit for field, limit in limits.items() if limit]
        if self._config.method.iterations is not None:
            shares.append(self._coordinator.server.iteration / self._config.method.iterations)
        return max(shares, default=0.0)

    def _limit(self, field: str) -> float | None:
        """Return what all sites together may spend on tuning, or None without a limit."""
        caps = [site.tuning.cap(field) for site in self._assembly.sites.values()]
        known = [cap for cap in caps if cap is not None]
        return sum(known) if known else None


ProgressPoint = dict[str, Any]
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
        self, directory: RunDirectory, assembly: RunSetup, observers: Sequence[Observer]
    ) -> None:
        self._directory, self._assembly, self._observers = directory, assembly, observers
        self._started = time.monotonic()
        self.curve: list[ProgressPoint] = []

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


def curve_of_events(events: Iterable[Mapping[str, Any]]) -> list[ProgressPoint]:
    """Return the curve of a run of AsynDBT: a point per server step and site that took part.

    Parameters
    ----------
    events : iterable of mapping
        Lines of its event log.
    """
    curve: list[ProgressPoint] = []
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
) -> ProgressPoint:
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
