"""What all trackers share: when they begin, what they are told, and that they stop no run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from asyndbt.observers.figures import figures_of, settings_of
from asyndbt.run import Event

__all__ = ["Tracker"]


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
