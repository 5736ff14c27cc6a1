"""Studies without a language model: a method that writes down what it would have found."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from asyndbt._async import run_sync
from asyndbt.config import Config
from asyndbt.lm import LanguageModel, Prompt
from asyndbt.pocket import dataset
from asyndbt.run import Event, Observer
from asyndbt.study import CellResult, StudyFile, _execute, cells_of
from asyndbt.study._execute import execute_cells

TASKS = ("pocket:sentiment-fans", "pocket:paraphrase")
LABELS = {"pocket:sentiment-fans": ["hit", "flop"], "pocket:paraphrase": ["yes", "no"]}
N = 100


class Pretended:
    """Stands in for `run_method`: fixed accuracies, and three prompts asked in every run.

    Two of the prompts are the same for all runs of a task.
    """

    def __init__(self, accuracies: Mapping[str, float]) -> None:
        self.accuracies = accuracies
        self.carried_out: list[tuple[str, Config]] = []
        self.charged = 0
        self.options: list[Any] = []
        self.before: Callable[[str, Config], None] = lambda method, config: None

    def __call__(
        self,
        method: str,
        config: Config,
        *,
        observers: Sequence[Observer],
        model: LanguageModel,
        options: Any = None,
    ) -> None:
        self.before(method, config)
        self.carried_out.append((method, config))
        self.options.append(options)
        words = list((config.task.labels or {}).values())
        texts = ("it was fine", "it was dull", f"{method} {config.run.seed}")
        prompts = [Prompt((), f"{text}. Answer:") for text in texts]
        answers = run_sync(model.score(prompts, words))
        self.charged += sum(answer.usage.calls for answer in answers if answer)
        for observer in observers:
            observer(Event("step", {"calls_total": 180}, 0.0))
        self.write(method, config)

    def write(self, method: str, config: Config) -> None:
        share = self.accuracies[method] + 0.01 * config.run.seed
        score = {"accuracy": share, "loss": 1 - share, "n": N, "interval": [0.0, 1.0]}
        plain = {**score, "accuracy": 0.5, "loss": 0.7}
        scores = {"plain": plain, "random_icl": plain, "tuned": score}
        half = {kind: {**value, "n": N // 2} for kind, value in scores.items()}
        tuning = 3 * 60
        evaluation = (2 + config.method.random_icl_draws) * N
        data = {
            "method": method,
            "metrics": {"test": scores},
            "sites": {name: {"metrics": {"test": half}} for name in ("home", "work")},
            "ledger": {"calls": tuning + evaluation, "tokens_in": 900, "tokens_out": 100},
            "iterations": 2,
        }
        steps = [
            {
                "kind": "step",
                "calls": {"home": 90 * i},
                "active": ["home"],
                "iteration": i,
                "loss": {"home": 1.0 / i},
                "validation": {"home": {"loss": 0.4, "accuracy": share, "n": N}} if i == 2 else {},
                "elapsed": (10.0 if method == "asyndbt" else 20.0) * i,
            }
            for i in (1, 2)
        ]
        config.run.dir.mkdir(parents=True)
        (config.run.dir / "result.json").write_text(json.dumps(data))
        (config.run.dir / "events.jsonl").write_text("\n".join(map(json.dumps, steps)))


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    found = {"asyndbt": 0.9, "cendbt": 0.92, "random-icl": 0.7, "manual": 0.6, "halving": 0.8}
    made = Pretended(found)
    monkeypatch.setattr(_execute, "run_method", made)
    return made


@pytest.fixture
def silent() -> Iterator[dict[str, Any]]:
    """The [lm] table of an endpoint that never answers: a run with it ends by a signal alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        yield {"provider": "openai", "model": "m", "base_url": url, "timeout": 86_400.0}


@pytest.fixture
def few_rows(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes tables that make the runs of some tasks short: 18 test rows of 360."""

    def make(*tasks: str) -> dict[str, Any]:
        tables = {}
        for task in tasks:
            name = task.partition(":")[2]
            file = tmp_path / f"{name}.jsonl"
            file.write_text("\n".join(map(json.dumps, dataset(name, "test")[:18])))
            tables[task] = {"data": {"test": str(file)}}
        base = {"data": {"pool_per_class": 4, "validation_per_class": 2}}
        return {"base": base, "tasks": tables}

    return make


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes figures empty files: drawing takes longer than all the rest of a small study."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: path.write_bytes(b""))


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., StudyFile]:
    """Makes a study of two tasks and two seeds; keywords are keys of [study] or further tables."""

    def make(*, tables: Mapping[str, Any] | None = None, **keys: Any) -> StudyFile:
        section = {
            "methods": ["asyndbt", "cendbt", "random-icl"],
            "tasks": list(TASKS),
            "seeds": [0, 1],
            "calls": 300,
            "dir": str(tmp_path / "study"),
            **keys,
        }
        base = {
            "data": {"pool_per_class": 4},
            "method": {"random_icl_draws": 1},
            "federation": {"engine": "virtual"},
        }
        return StudyFile.from_dict({"study": section, "base": base, **(tables or {})}, name="small")

    return make


@pytest.fixture
def done(study: Callable[..., StudyFile], pretended: Pretended) -> list[CellResult]:
    """The runs of a study with a grid, carried out."""
    file = study(tables={"grid": {"method": {"draws": [3, 4]}}}, seeds=[0])
    return execute_cells(cells_of(file), file.study.dir / "answers")
