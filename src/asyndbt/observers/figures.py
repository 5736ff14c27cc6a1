"""The numbers of an event under flat names, as trackers of experiments want them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["figures_of", "settings_of"]

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
