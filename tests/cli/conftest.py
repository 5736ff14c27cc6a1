"""A fake of `asyndbt.run` that plays a short run to its observers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import asyndbt.baselines
import asyndbt.run
from asyndbt.config import Config
from asyndbt.prompt import TunedPrompt
from asyndbt.run import Event, Observer
from asyndbt.task import Example, Task

SITES = ("movies", "phones", "meals")


def score(accuracy: float, n: int) -> dict[str, Any]:
    return {"accuracy": accuracy, "interval": [accuracy - 0.05, accuracy + 0.05], "n": n}


def scores(n: int) -> dict[str, Any]:
    return {"plain": score(0.6, n), "random_icl": score(0.7, n), "tuned": score(0.9, n)}


def result_data(sites: Sequence[str] = SITES) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "stop_reason": "budget",
        "iterations": 3,
        "fragment": ["think", "twice"],
        "metrics": {"test": scores(120 * len(sites))},
        "sites": {name: {"metrics": {"test": scores(120)}} for name in sites},
        "ledger": {"calls": 6000, "cached": 60, "tokens_in": 9, "tokens_out": 6, "money": 0.0},
        "seed": 0,
        "versions": {},
        "warnings": ["near-uniform read-out"],
    }


def start_event(directory: Path, sites: Sequence[str] = SITES) -> Event:
    data = {
        "directory": str(directory),
        "sites": {name: {"train": 120, "validation": 40, "test": 120} for name in sites},
        "quorum": 2,
        "positions": 6,
        "words": 209,
        "slots": 2,
        "candidates": 20,
        "limits": {"calls": None, "tokens": None, "money": None},
        "preset": "default",
        "mode": "both",
        "model": "pocket",
        "seed": 0,
    }
    return Event("start", data, 0.0)


def step_event(
    iteration: int, sites: Sequence[str] = SITES, limit: int | None = 3000, **changes: Any
) -> Event:
    active = sites[:2]
    data = {
        "iteration": iteration,
        "active": list(active),
        "staleness": dict.fromkeys(sites, iteration % 3),
        "gone": [],
        "loss": dict.fromkeys(active, 0.5),
        "validation": {active[0]: {"accuracy": 0.75, "n": 40}},
        "entropy_p": 3.5,
        "entropy_q": dict.fromkeys(active, 2.5),
        "calls": dict.fromkeys(sites, 10 * iteration),
        "calls_total": 30 * iteration,
        "calls_limit": limit,
        "planes": 4,
        "consensus_distance": 0.25,
        "seconds_left": 75.0,
        "phase": "tuning",
    }
    return Event("step", data | changes, float(iteration))


class FakeResult:
    """What a finished run looks like to the command."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.data = result_data()
        self.sites = sorted(SITES)

    def prompt(self, site: str) -> TunedPrompt:
        shown = Example({"text_a": f"shot of {site}"}, "1")
        return TunedPrompt(Task("{text_a}", ("0", "1"), ("no", "yes")), (), (shown,))

    def predict_batches(
        self, batches: Iterable[Iterable[tuple[str, Mapping[str, Any]]]], site: str | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        for batch in batches:
            yield [{**row, "prediction": "1", "scores": {"0": 0.25, "1": 0.75}} for _, row in batch]


class Facade:
    """Plays events; set `error` to have the run end in it."""

    def __init__(self) -> None:
        self.configs: list[Config] = []
        self.events: list[Event] = [step_event(number) for number in (1, 2, 3)]
        self.error: BaseException | None = None

    def run_config(self, config: Config, *, observers: Sequence[Observer] = ()) -> FakeResult:
        self.configs.append(config)
        config.run.dir.mkdir(parents=True, exist_ok=True)
        traffic = {"movies": {"out StepDone": [3, 4096], "in Step": [3, 9000]}}
        (config.run.dir / "traffic.json").write_text(json.dumps(traffic))
        return self._play(config.run.dir, [start_event(config.run.dir)], observers)

    def resume_run(
        self,
        directory: Path,
        *,
        budget: Mapping[str, Any] | None = None,
        observers: Sequence[Observer] = (),
    ) -> FakeResult:
        self.budget = budget
        return self._play(directory, [], observers)

    def _play(
        self, directory: Path, first: list[Event], observers: Sequence[Observer]
    ) -> FakeResult:
        result = FakeResult(directory)
        for event in [*first, *self.events]:
            for observer in observers:
                observer(event)
        if self.error is not None:
            raise self.error
        for event in (
            Event("phase", {"phase": "evaluating"}, 4.0),
            Event("result", result.data, 5.0),
            Event("phase", {"phase": "done"}, 5.0),
        ):
            for observer in observers:
                observer(event)
        return result


@pytest.fixture(autouse=True)
def facade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Facade:
    fake = Facade()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asyndbt.run, "run_config", fake.run_config)
    monkeypatch.setattr(asyndbt.baselines, "resume_run", fake.resume_run)
    monkeypatch.setattr(asyndbt.run, "Result", FakeResult)
    return fake


@pytest.fixture
def play() -> SimpleNamespace:
    """The makers of events and results."""
    return SimpleNamespace(start=start_event, step=step_event, result=result_data)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "first.toml"
    file.write_text(
        '[task]\ntemplate = "sst2"\n[data]\ntrain = "train.jsonl"\n[budget]\ncalls = 100\n'
    )
    return file
