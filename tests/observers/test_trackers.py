"""Trackers of experiments: fakes of their clients, and the real writer of TensorBoard."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asyndbt.errors import MissingExtraError
from asyndbt.observers import MLflowTracker, TensorBoardTracker, Tracker, WandbTracker
from asyndbt.run import Event

SECRET = "the soup was huge"
START = Event("start", {"seed": 0, "sites": {"north": {}, "south": {}}, "directory": "/runs"}, 0.0)
STEP = Event(
    "step",
    {
        "iteration": 7,
        "active": ["north"],
        "loss": {"north": 0.5, "south": 0.75},
        "validation": {},
        "entropy_q": {"north": 1.5, "south": 2.5},
        "planes": 2,
        "phase": "tuning",
        "seconds_left": None,
    },
    1.0,
)
RESULT = Event(
    "result",
    {"metrics": {"test": {"tuned": {"accuracy": 0.9, "n": 10}}}, "fragment": [SECRET], "seed": 0},
    2.0,
)
EXPECTED = {
    ("loss/north", 0.5, 7),
    ("entropy_q/north", 1.5, 7),
    ("planes", 2.0, 7),
    ("result/metrics/test/tuned/accuracy", 0.9, 7),
}


class Writer:
    def __init__(self) -> None:
        self.scalars: set[tuple[str, float, int]] = set()
        self.closed = 0

    def add_text(self, name: str, text: str, step: int) -> None:
        self.text = text

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.add((name, value, step))

    def close(self) -> None:
        self.closed += 1


class Client:
    def __init__(self) -> None:
        self.params: dict[str, str] = {}
        self.metrics: set[tuple[str, float, int]] = set()
        self.ends: list[tuple[str, str]] = []

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return f"id of {name}"

    def create_run(self, experiment: str, run_name: str | None) -> Any:
        assert experiment == "id of asyndbt"
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_param(self, run: str, key: str, value: str) -> None:
        self.params[key] = value

    def log_metric(self, run: str, key: str, value: float, *, step: int, **more: Any) -> None:
        self.metrics.add((key, value, step))

    def set_terminated(self, run: str, state: str) -> None:
        self.ends.append((run, state))


class WandbRun:
    def __init__(self) -> None:
        self.logged: set[tuple[str, float, int]] = set()
        self.codes: list[int] = []

    def __call__(self, **settings: Any) -> WandbRun:
        self.settings = settings
        return self

    def log(self, figures: dict[str, float], step: int) -> None:
        self.logged |= {(key, value, step) for key, value in figures.items()}

    def finish(self, exit_code: int) -> None:
        self.codes.append(exit_code)


def show(tracker: Tracker, *events: Event) -> None:
    for event in events:
        tracker(event)


def test_tensorboard() -> None:
    writer = Writer()
    show(TensorBoardTracker("unused", writer), START, STEP, RESULT)
    assert writer.scalars == EXPECTED
    assert "sites: north, south" in writer.text
    assert writer.closed == 1


def test_mlflow() -> None:
    client = Client()
    show(MLflowTracker(client=client), START, STEP, RESULT)
    assert client.metrics == EXPECTED
    assert client.params == {"seed": "0", "sites": "north, south"}
    assert client.ends == [("r1", "FINISHED")]


def test_wandb() -> None:
    run = WandbRun()
    show(WandbTracker(init=run), START, STEP, RESULT)
    assert run.logged == EXPECTED
    assert run.settings["config"] == {"seed": "0", "sites": "north, south"}
    assert run.codes == [0]


def test_a_resumed_run_says_nothing_of_its_settings() -> None:
    client = Client()
    show(MLflowTracker(client=client), STEP, RESULT)
    assert client.metrics == EXPECTED
    assert client.params == {}


def test_a_run_that_stops_leaves_no_open_tracking() -> None:
    client = Client()

    def stopped() -> None:
        with MLflowTracker(client=client) as tracker:
            show(tracker, START, STEP)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert client.ends == [("r1", "KILLED")]


def test_a_tracker_that_has_failed_is_not_asked_again() -> None:
    class Broken(Writer):
        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.closed += 1
            raise ConnectionError("no route")

    writer = Broken()
    tracker = TensorBoardTracker("unused", writer)
    with pytest.raises(ConnectionError, match="no route"):
        tracker(STEP)
    tracker(STEP)
    tracker.close(finished=True)
    assert writer.closed == 1, "it was not asked again"


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("tensorboardX", lambda: TensorBoardTracker("unused"), "tensorboard"),
        ("mlflow", MLflowTracker, "mlflow"),
        ("wandb", WandbTracker, "wandb"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, make: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"asyndbt\[{extra}\]"):
        make()


def test_tensorboard_writes_files_that_hold_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    show(TensorBoardTracker(tmp_path), START, STEP, RESULT)
    (file,) = tmp_path.glob("events.out.tfevents.*")
    content = file.read_bytes()
    assert b"loss/north" in content
    assert b"result/metrics/test/tuned/accuracy" in content
    assert SECRET.encode() not in content
