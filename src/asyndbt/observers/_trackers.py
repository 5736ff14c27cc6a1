"""Trackers of experiments, each of an extra of its own that is imported when used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from asyndbt.errors import MissingExtraError
from asyndbt.observers._tracker import Tracker


class TensorBoardTracker(Tracker):
    """Writes scalars for ``tensorboard --logdir``, by tensorboardX, which needs no PyTorch.

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
        self._writer = writer or _load("tensorboardX", "SummaryWriter", "tensorboard")(
            str(directory)
        )

    def begin(self, settings: Mapping[str, str]) -> None:
        """Write the settings as a text."""
        if settings:
            lines = [f"* {name}: {value}" for name, value in settings.items()]
            self._writer.add_text("settings", "\n".join(lines), 0)

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Write a scalar per metric."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, iteration)

    def end(self, finished: bool) -> None:
        """Close the files."""
        self._writer.close()


class MLflowTracker(Tracker):
    """Logs a run to an MLflow server, by its client: no active run of the process is touched.

    Parameters
    ----------
    experiment : str
        Created if it does not exist.
    name : str, optional
        Of the run.
    client : object, optional
        An ``MlflowClient`` to use in place of a new one.

    Raises
    ------
    MissingExtraError
        If mlflow is not installed.
    """

    def __init__(
        self, experiment: str = "asyndbt", name: str | None = None, client: Any = None
    ) -> None:
        super().__init__()
        self._client = client or _load("mlflow", "MlflowClient", "mlflow")()
        self._experiment, self._name = experiment, name
        self._run = ""

    def begin(self, settings: Mapping[str, str]) -> None:
        """Create the run, with the settings as its parameters."""
        known = self._client.get_experiment_by_name(self._experiment)
        place = known.experiment_id if known else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(place, run_name=self._name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Log the metrics without waiting for the server."""
        now = int(1000 * time.time())
        for key, value in metrics.items():
            self._client.log_metric(
                self._run, key, value, timestamp=now, step=iteration, synchronous=False
            )

    def end(self, finished: bool) -> None:
        """Set the run's state."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class WandbTracker(Tracker):
    """Logs a run to Weights & Biases.

    Parameters
    ----------
    project : str
    name : str, optional
        Of the run.
    init : callable, optional
        Used in place of ``wandb.init``.

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
        self._init = init or _load("wandb", "init", "wandb")
        self._project, self._name = project, name
        self._run: Any = None

    def begin(self, settings: Mapping[str, str]) -> None:
        """Start the run, with the settings as its configuration."""
        self._run = self._init(project=self._project, name=self._name, config=dict(settings))

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Log the metrics; W&B puts the latest into the summary."""
        self._run.log(dict(metrics), step=iteration)

    def end(self, finished: bool) -> None:
        """Finish the run."""
        self._run.finish(exit_code=0 if finished else 1)


def _load(package: str, name: str, extra: str) -> Any:
    try:
        return getattr(import_module(package), name)
    except ImportError:
        raise MissingExtraError(package, extra) from None
