"""Small but whole runs: three sites, the pocket model, a few hundred prompts."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.federation import Worker
from asyndbt.lm import Answer, PocketLanguageModel, Prompt
from asyndbt.pocket import TASKS, dataset

TASK = TASKS["sentiment-consumer"]
SITES = ("meals", "movies", "phones")
PARTS = {"train": 14, "validation": 4, "test": 5}
POOL, DRAWS, BATCH, RANDOM_DRAWS, CONFIRM = 4, 3, 2, 2, 2
STEP = DRAWS * BATCH
LOOKS = 3 + 2 * CONFIRM - 1
VALIDATION, TEST = 2 * PARTS["validation"], 2 * PARTS["test"]
EVALUATION = (2 + RANDOM_DRAWS) * TEST
LEAST = STEP + LOOKS * VALIDATION + EVALUATION
"""Calls without which a site cannot tune and judge one prompt."""

MakeConfig = Callable[..., Config]


def rows_of(part: str, per_class: int) -> list[dict[str, str]]:
    """The first rows of every class and site, all texts different."""
    kept: Counter[tuple[str, str]] = Counter()
    rows, seen = [], set()
    for row in dataset(TASK.name, part):  # type: ignore[arg-type]
        place = (row["site"], row["label"])
        if kept[place] < per_class and row["text_a"] not in seen:
            kept[place] += 1
            seen.add(row["text_a"])
            rows.append(dict(row))
    return rows


def write_rows(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Tables in tables, the second winning; None takes a key out."""
    result = dict(one)
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


@pytest.fixture(scope="session")
def data_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    return {
        part: str(write_rows(folder / f"{part}.jsonl", rows_of(part, count)))
        for part, count in PARTS.items()
    }


@pytest.fixture
def make_config(data_files: dict[str, str], tmp_path: Path) -> MakeConfig:
    """``make_config("first", method={...})``: a small run in that directory of its own."""

    def make(name: str = "run", /, **changes: dict[str, Any]) -> Config:
        tables: dict[str, Any] = {
            "task": {"instruction": TASK.instruction, "labels": dict(TASK.labels)},
            "data": {**data_files, "site_column": "site", "pool_per_class": POOL},
            "method": {
                "vocabulary": "pocket",
                "vocabulary_limit": 12,
                "fragment_length": 3,
                "draws": DRAWS,
                "batch_size": BATCH,
                "random_icl_draws": RANDOM_DRAWS,
                "confirm_candidates": CONFIRM,
                "refresh_every": 4,
                "plane_tolerance": 0.01,
                "eta_p": 1.0,
                "eta_q": 1.0,
            },
            "budget": {"per_site": {"calls": LEAST + 16 * STEP}},
            "run": {"dir": str(tmp_path / name), "seed": 3},
        }
        return Config.from_dict(merged(tables, changes))

    return make


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def events_of(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "events.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def paid(directory: Path) -> dict[str, tuple[int, int, int]]:
    """By site: calls, tokens in, tokens out, as its file of paid answers has them."""
    sums = {}
    for file in sorted(directory.glob("sites/*/answers.sqlite")):
        database = sqlite3.connect(file)
        row = database.execute(
            "SELECT COALESCE(SUM(calls), 0), COALESCE(SUM(tokens_in), 0), "
            "COALESCE(SUM(tokens_out), 0) FROM answers"
        ).fetchone()
        database.close()
        sums[file.parent.name] = row
    return sums


def outcome(directory: Path) -> dict[str, bytes]:
    """Every byte that a run is for, by file."""
    names = ("result.json", "prompt.json", "prompt.txt")
    files = [directory / "result.json", directory / "traffic.json"]
    files += [file for name in names for file in sorted(directory.glob(f"sites/*/{name}"))]
    return {str(file.relative_to(directory)): file.read_bytes() for file in files}


def story(directory: Path) -> list[dict[str, Any]]:
    """The event log without what a clock wrote into it."""
    clocked = ("elapsed", "seconds_left", "directory")
    return [{k: v for k, v in e.items() if k not in clocked} for e in events_of(directory)]


@dataclass
class Asked:
    """Every prompt that the model was asked, in order, with site and kind of work."""

    prompts: list[tuple[str, str, str]] = field(default_factory=list)
    during: tuple[str, str] = ("", "")

    def texts(self, *kinds: str) -> list[str]:
        return [text for _, kind, text in self.prompts if kind in kinds]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
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
