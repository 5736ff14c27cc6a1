"""Small but whole runs: three sites, the pocket model, a few hundred prompts."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.federation import Worker
from asyndbt.lm import Answer, Prompt
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.pocket import TASKS, dataset
from asyndbt.run import Result, run_config

TASK = TASKS["sentiment-consumer"]
PARTS = {"train": 14, "validation": 3, "test": 3}


@dataclass(frozen=True)
class Small:
    """Makes configurations of small runs, and reads what the runs leave behind."""

    files: dict[str, str]
    folder: Path

    sites = ("meals", "movies", "phones")
    task = TASK
    step = 6
    """Prompts of a step: 3 draws on 2 queries."""
    validation, test = 2 * PARTS["validation"], 2 * PARTS["test"]
    evaluation = (2 + 2) * test
    """The test split under the plain and the tuned prompt and two random draws."""
    least = step + (3 + 2) + evaluation
    """Calls without which a site cannot tune and judge one prompt on the whole test split."""

    def config(self, name: str = "run", /, **changes: dict[str, Any]) -> Config:
        """A run in the directory of this name, some tables changed; None takes a key out."""
        tables: dict[str, Any] = {
            "task": {"instruction": TASK.instruction, "labels": dict(TASK.labels)},
            "data": {**self.files, "site_column": "site", "pool_per_class": 4},
            "method": {
                "vocabulary": "pocket",
                "vocabulary_limit": 12,
                "fragment_length": 3,
                "draws": 3,
                "batch_size": 2,
                "random_icl_draws": 2,
                "confirm_candidates": 2,
                "refresh_every": 4,
                "plane_tolerance": 0.01,
                "eta_p": 1.0,
                "eta_q": 1.0,
            },
            "budget": {
                "test_share": 1.0,
                "per_site": {"calls": self.least + 10 * self.step},
            },
            "run": {"dir": str(self.folder / name), "seed": 3},
        }
        return Config.from_dict(_merged(tables, changes))

    def rows(self, part: str) -> list[dict[str, str]]:
        """Examples of one part, as its file has them."""
        return [json.loads(line) for line in Path(self.files[part]).read_text().splitlines()]

    def write(self, name: str, rows: Iterable[dict[str, str]]) -> str:
        """Write examples into a file, and return its path."""
        return str(_write_rows(self.folder / name, rows))

    @staticmethod
    def read(file: Path) -> Any:
        """Content of a JSON file."""
        return json.loads(file.read_text("utf-8"))

    @staticmethod
    def events(directory: Path) -> list[dict[str, Any]]:
        """The event log."""
        lines = (directory / "events.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def story(self, directory: Path) -> list[dict[str, Any]]:
        """The event log without what a clock or a place wrote into it."""
        left_out = ("elapsed", "seconds_left", "directory")
        return [
            {k: v for k, v in event.items() if k not in left_out}
            for event in self.events(directory)
        ]

    @staticmethod
    def paid(directory: Path) -> dict[str, tuple[int, int, int]]:
        """By site: calls, tokens in and out, summed over its file of paid answers."""
        sums = {}
        for file in sorted(directory.glob("sites/*/answers.sqlite")):
            database = sqlite3.connect(file)
            sums[file.parent.name] = database.execute(
                "SELECT COALESCE(SUM(calls), 0), COALESCE(SUM(tokens_in), 0), "
                "COALESCE(SUM(tokens_out), 0) FROM answers"
            ).fetchone()
            database.close()
        return sums

    @staticmethod
    def outcome(directory: Path) -> dict[str, bytes]:
        """Every byte that a run is for, by file."""
        files = [directory / "result.json"]
        for name in ("result.json", "prompt.json", "prompt.txt"):
            files += sorted(directory.glob(f"sites/*/{name}"))
        return {str(file.relative_to(directory)): file.read_bytes() for file in files}


def _rows_of(part: str, per_class: int) -> list[dict[str, str]]:
    """The first rows of every class and site."""
    kept: Counter[tuple[str, str]] = Counter()
    rows = []
    for row in dataset(TASK.name, part):  # type: ignore[arg-type]
        place = (row["site"], row["label"])
        kept[place] += 1
        if kept[place] <= per_class:
            rows.append(dict(row))
    return rows


def _write_rows(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


@pytest.fixture(scope="session")
def data_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    return {
        part: str(_write_rows(folder / f"{part}.jsonl", _rows_of(part, count)))
        for part, count in PARTS.items()
    }


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time of such a small run; only a failing machine could tell the difference."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small(data_files: dict[str, str], tmp_path: Path) -> Small:
    return Small(data_files, tmp_path)


@dataclass
class Asked:
    """Every prompt that the model was asked, in order, with site and kind of work."""

    prompts: list[tuple[str, str, str]] = field(default_factory=list)
    during: tuple[str, str] = ("", "")

    def texts(self, *kinds: str) -> list[str]:
        return [text for _, kind, text in self.prompts if kind in kinds]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return listen(monkeypatch)


@pytest.fixture(scope="module")
def one_run(
    data_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Asked]:
    """A finished run that tests only look at, and what it asked."""
    small = Small(data_files, tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        asked = listen(patch)
        return run_config(small.config()), asked


def listen(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Listen at the model itself. Work with the pocket model never overlaps: it does not wait."""
    heard, score, handle = Asked(), PocketLanguageModel.score, Worker.handle

    async def listening(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        heard.prompts += [(*heard.during, prompt.text) for prompt in prompts]
        return await score(model, prompts, labels)

    async def working(worker: Worker, assignment: Any) -> Any:
        heard.during = (worker.site, type(assignment).__name__)
        return await handle(worker, assignment)

    monkeypatch.setattr(PocketLanguageModel, "score", listening)
    monkeypatch.setattr(Worker, "handle", working)
    return heard
