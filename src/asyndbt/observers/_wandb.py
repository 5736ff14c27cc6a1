"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asyndbt.errors import MissingExtraError
from asyndbt.observers._tracker import Tracker

__all__ = ["WandbTracker"]


class WandbTracker(Tracker):
    """Logs a run to Weights & Biases.

    Parameters
    ----------
    project : str
    name : str, optional
        Of the run.
    init : callable, optional
        Takes the place of ``wandb.init``.

    Raises
    ------
    MissingExtraError
        If wandb is not installed.
    """

    def __init__(
        self,
        project: str = "asyndbt",
        name: str | None = None,
        init: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self._project, self._name = project, name
        self._init = init or _init()
        self._run: Any = None

    def begin(self, settings: Mapping[str, str]) -> None:
        """Start the run, with the settings as its configuration."""
        self._run = self._init(project=self._project, name=self._name, config=dict(settings))

    def log(self, figures: Mapping[str, float], iteration: int) -> None:
        """Log the numbers of one step; those of the result go into the summary by themselves."""
        self._run.log(dict(figures), step=iteration)

    def end(self, finished: bool) -> None:
        """Finish the run."""
        self._run.finish(exit_code=0 if finished else 1)


def _init() -> Callable[..., Any]:
    try:
        from wandb import init
    except ImportError:
        raise MissingExtraError("wandb", "wandb") from None
    return init  # type: ignore[no-any-return]
