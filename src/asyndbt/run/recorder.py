"""Writes down what happens in a run, and tells its observers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyndbt.config import Config
from asyndbt.federation import Coordinator, Wire, snapshot
from asyndbt.run.assembly import Assembly
from asyndbt.run.directory import RunDirectory
from asyndbt.run.events import Event, Observer

__all__ = ["Recorder"]


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
        wire: Wire,
        config: Config,
        assembly: Assembly,
        observers: Sequence[Observer],
    ) -> None:
        self._directory, self._coordinator, self._wire = directory, coordinator, wire
        self._config, self._assembly, self._observers = config, assembly, observers
        self._handed_out = -1
        self._begun: tuple[float, int] | None = None

    def start(self, elapsed: float) -> None:
        """Say what is about to run."""
        config, plan = self._config, self._assembly.plan
        shape = next(iter(self._assembly.sites.values())).prompts.shape
        parts = ("train", "validation", "test")
        self.tell(
            "start",
            elapsed,
            directory=str(self._directory.path),
            sites={
                name: dict(zip(parts, site.worker.objective.counts, strict=True))
                for name, site in self._assembly.sites.items()
            },
            quorum=plan.quorum,
            positions=shape.positions,
            words=shape.words,
            slots=shape.slots,
            candidates=shape.candidates,
            limits={name: getattr(config.budget, name) for name in ("calls", "tokens", "money")},
            preset=config.method.preset,
            mode=config.method.mode,
            model=config.lm.model or config.lm.provider,
            seed=config.run.seed,
        )
        for text in self._assembly.warnings:
            self.tell("warning", elapsed, text=text)

    def changed(self, now: float) -> None:
        """Log what the coordinator decided; write a checkpoint before its work is sent."""
        for notice in self._coordinator.notices():
            data = {key: value for key, value in notice.items() if key != "kind"}
            if notice["kind"] == "step":
                data |= self._progress(data, now)
            self.tell(notice["kind"], now, **data)
        if self._coordinator.next_id != self._handed_out or self._coordinator.phase == "done":
            self._handed_out = self._coordinator.next_id
            self._directory.write_checkpoint(
                snapshot(
                    self._coordinator,
                    elapsed=now,
                    events=self._directory.events_length(),
                    traffic=self._wire.traffic,
                )
            )

    def tell(self, kind: str, elapsed: float, **data: Any) -> None:
        """Log one event and show it to the observers."""
        event = Event(kind, data, elapsed)
        self._directory.append_event(event)
        for observer in self._observers:
            observer(event)

    def _progress(self, step: dict[str, Any], now: float) -> dict[str, Any]:
        """Calls so far and time left, from the calls that the budget still allows for tuning."""
        calls = sum(step["calls"].values())
        tuning = sum(site.tuning_calls for site in self._assembly.sites.values())
        if self._begun is None:
            self._begun = (now, calls)
        start, first = self._begun
        share = (calls - first) / max(1, tuning - first)
        left = (now - start) * (1 / share - 1) if share > 0 and tuning else None
        return {
            "phase": "tuning",
            "calls_total": calls,
            "calls_limit": tuning or None,
            "seconds_left": None if left is None else round(max(0.0, left), 1),
        }
