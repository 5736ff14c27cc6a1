"""Trackers of experiments, whose packages are imported when they are used."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from asyndbt.errors import MissingExtraError
from asyndbt.run import Event

_REPORTED = ("loss", "validation", "entropy_q")
_OMITTED = frozenset(
    {"calls_limit", "iteration", "model", "n", "schema_version", "seconds_left", "seed"}
)


class Tracker(ABC):
    """An observer that logs a run's numbers; no text of any example is among them.

    The run goes on without a tracker that fails, as without any observer that does. As a context
    manager it is also closed when the run ends in an error::

        with TensorBoardTracker("logs") as tracker:
            asyndbt.tune("asyndbt.toml", observers=[tracker])
    """

    def __init__(self) -> None:
        self._open = self._closed = False
        self._iteration = 0

    @abstractmethod
    def begin(self, settings: Mapping[str, str]) -> None:
        """Open the tracking of a run; a resumed one has no settings."""

    @abstractmethod
    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Log the metrics of a server step."""

    @abstractmethod
    def end(self, finished: bool) -> None:
        """Close the tracking of a run that finished or was interrupted."""

    def __call__(self, event: Event) -> None:
        if self._closed:
            return
        try:
            self._take(event)
        except Exception:
            self._closed = True
            raise

    def _take(self, event: Event) -> None:
        if not self._open:
            self._open = True
            self.begin(_settings(event.data) if event.kind == "start" else {})
        if event.kind == "step":
            self._iteration = int(event.data["iteration"])
            self.log(_metrics(event.data), self._iteration)
        elif event.kind == "result":
            self.log(_metrics({"result": event.data}), self._iteration)
            self.close(finished=True)

    def close(self, *, finished: bool) -> None:
        """End the tracking, once."""
        if self._open and not self._closed:
            self.end(finished)
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(finished=kind is None)


class TensorBoardTracker(Tracker):
    """Writes scalars for ``tensorboard --logdir``, by tensorboardX, which needs no PyTorch.

    `writer` is a ``SummaryWriter`` to use in place of a new one.

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
        if settings:
            lines = [f"* {name}: {value}" for name, value in settings.items()]
            self._writer.add_text("settings", "\n".join(lines), 0)

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, iteration)

    def end(self, finished: bool) -> None:
        self._writer.close()


class MLflowTracker(Tracker):
    """Logs to an MLflow server, by its client: no active run of the process is touched.

    `client` is an ``MlflowClient`` to use in place of a new one.

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
        known = self._client.get_experiment_by_name(self._experiment)
        place = known.experiment_id if known else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(place, run_name=self._name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        now = int(1000 * time.time())
        for key, value in metrics.items():
            self._client.log_metric(
                self._run, key, value, timestamp=now, step=iteration, synchronous=False
            )

    def end(self, finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class WandbTracker(Tracker):
    """Logs to Weights & Biases; `init` is used in place of ``wandb.init``.

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
        self._run = self._init(project=self._project, name=self._name, config=dict(settings))

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        self._run.log(dict(metrics), step=iteration)

    def end(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def _load(package: str, name: str, extra: str) -> Any:
    try:
        return getattr(import_module(package), name)
    except ImportError:
        raise MissingExtraError(package, extra) from None


def _settings(start: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of the event "start" as text, without the path of the record.

    Examples
    --------
    >>> _settings({"quorum": 2, "sites": {"north": {}}, "directory": "/runs/one"})
    {'quorum': '2', 'sites': 'north'}
    """
    shown = {key: value for key, value in start.items() if key != "directory"}
    return {key: ", ".join(value) if key == "sites" else str(value) for key, value in shown.items()}


def _metrics(data: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in an event "step" or "result", nested names joined by a slash.

    A step repeats the latest reports of inactive sites; these are left out.

    Examples
    --------
    >>> _metrics({"loss": {"north": 0.5, "south": 0.9}, "active": ["north"], "planes": 2})
    {'loss/north': 0.5, 'planes': 2.0}
    >>> _metrics({"metrics": {"test": {"tuned": {"accuracy": 0.9, "interval": [0.8, 1.0]}}}})
    {'metrics/test/tuned/accuracy': 0.9}
    """
    found = dict(data)
    for key in _REPORTED if "active" in data else ():
        reported = data.get(key, {})
        found[key] = {name: reported[name] for name in data["active"] if name in reported}
    return dict(sorted(_flat("", found)))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if key in _OMITTED:
            continue
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}/", value)
        elif type(value) in (int, float) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)
