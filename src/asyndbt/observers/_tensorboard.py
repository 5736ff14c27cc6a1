"""TensorBoard, written by tensorboardX: neither TensorFlow nor PyTorch is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyndbt.errors import MissingExtraError
from asyndbt.observers._tracker import Tracker

__all__ = ["TensorBoardTracker"]


class TensorBoardTracker(Tracker):
    """Writes scalars for ``tensorboard --logdir``.

    Parameters
    ----------
    directory : path
        Of the event files.
    writer : object, optional
        A ``SummaryWriter`` to use in place of a new one.

    Raises
    ------
    MissingExtraError
        If tensorboardX is not installed.
    """

    def __init__(self, directory: Path | str, writer: Any = None) -> None:
        super().__init__()
        self._writer = writer or _writer(Path(directory))

    def begin(self, settings: Mapping[str, str]) -> None:
        """Write the settings as a text."""
        if settings:
            lines = [f"* {name}: {value}" for name, value in settings.items()]
            self._writer.add_text("settings", "\n".join(lines), 0)

    def log(self, figures: Mapping[str, float], iteration: int) -> None:
        """Write one scalar per number."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, iteration)

    def end(self, finished: bool) -> None:
        """Close the files."""
        self._writer.close()


def _writer(directory: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboardX", "tensorboard") from None
    return SummaryWriter(str(directory))
