"""MLflow, by its client: no active run of the process is touched."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from asyndbt.errors import MissingExtraError
from asyndbt.observers._tracker import Tracker

__all__ = ["MLflowTracker"]


class MLflowTracker(Tracker):
    """Logs a run to an MLflow server.

    Parameters
    ----------
    experiment : str
        Made if it is not there.
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
        self._experiment, self._name = experiment, name
        self._client = client or _client()
        self._run = ""

    def begin(self, settings: Mapping[str, str]) -> None:
        """Create the run, with the settings as its parameters."""
        known = self._client.get_experiment_by_name(self._experiment)
        place = known.experiment_id if known else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(place, run_name=self._name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def log(self, figures: Mapping[str, float], iteration: int) -> None:
        """Log one metric per number, in the background where the client can."""
        now = int(1000 * time.time())
        for key, value in figures.items():
            self._client.log_metric(
                self._run, key, value, timestamp=now, step=iteration, synchronous=False
            )

    def end(self, finished: bool) -> None:
        """Set the run's state."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def _client() -> Any:
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise MissingExtraError("mlflow", "mlflow") from None
    return MlflowClient()
