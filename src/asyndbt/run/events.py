"""What observers of a run are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Event", "Observer"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened.

    Parameters
    ----------
    kind : str
        ``start``, ``step``, ``phase``, ``joined``, ``gone``, ``back``, ``refused``, ``banned``,
        ``refresh``, ``progress``, ``warning`` or ``result``.
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
