"""The learning curve of a run, derived from its ``step`` events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

CurveMoment = dict[str, Any]
"""``calls`` over all sites, ``site``, ``iteration``, ``train_loss``, ``validation_loss``,
``validation_accuracy`` (None where not measured), ``seconds``."""


def read_curve(directory: Path) -> list[CurveMoment]:
    """Return the curve of the run in a directory; empty if it took no step."""
    log = directory / "events.jsonl"
    if not log.exists():
        return []
    lines = log.read_text("utf-8").splitlines()
    return list(curve_of_events(json.loads(line) for line in lines))


def curve_of_events(events: Iterable[Mapping[str, Any]]) -> Iterator[CurveMoment]:
    """Yield a moment for every step and site that took part in it.

    Parameters
    ----------
    events : iterable of mapping
        Lines of an event log.
    """
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
