"""Two sites, a dozen rows each: small enough to run every method, with a model by script or not."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.lm import Prompt
from asyndbt.pocket import TASKS, dataset
from asyndbt.testing import ScriptedLanguageModel

TASK = TASKS["sentiment-consumer"]
SITES = ("meals", "movies")
PARTS = {"train": 7, "validation": 2, "test": 2}


def hashed(prompt: Prompt, labels: Sequence[str]) -> list[float]:
    """Log-probabilities that follow from the prompt's text and mean nothing."""
    number = zlib.crc32(prompt.text.encode()) % 1000
    return [-0.1 - 0.003 * number, -3.0 + 0.0025 * number][: len(labels)]


@dataclass(frozen=True)
class Tiny:
    """Makes tiny configurations, and reads what methods leave behind."""

    folder: Path
    files: dict[str, str]

    sites = SITES
    hashed = staticmethod(hashed)
    validation, test = 2 * PARTS["validation"], 2 * PARTS["test"]
    looks = 3 + 2 + 1
    evaluation = (2 + 2) * test
    least = 6 + looks * validation + evaluation

    def config(self, name: str = "run", /, **changes: Any) -> Config:
        """A run in the directory of this name, some keys changed."""
        tables: dict[str, Any] = {
            "task": {"instruction": TASK.instruction, "labels": dict(TASK.labels)},
            "data": {**self.files, "site_column": "site", "pool_per_class": 4},
            "method": {
                "vocabulary": str(self.folder / "words.txt"),
                "fragment_length": 2,
                "draws": 3,
                "batch_size": 2,
                "random_icl_draws": 2,
                "confirm_candidates": 2,
                "iterations": 15,
            },
            "budget": {"test_share": 1.0, "per_site": {"calls": self.least + 60}},
            "run": {"dir": str(self.folder / name), "seed": 1},
        }
        (self.folder / "words.txt").write_text("relax\nneedle\ngreen\nclaim\n")
        return Config.from_dict(tables).override(changes)

    def rows(self, part: str) -> list[dict[str, str]]:
        """Examples of one part."""
        return [json.loads(line) for line in Path(self.files[part]).read_text().splitlines()]

    @staticmethod
    def read(file: Path) -> Any:
        """Content of a JSON file."""
        return json.loads(file.read_text("utf-8"))

    @staticmethod
    def paid(directory: Path) -> int:
        """Calls, summed over the sites' files of paid answers."""
        total = 0
        for file in directory.glob("sites/*/answers.sqlite"):
            database = sqlite3.connect(file)
            total += database.execute("SELECT COALESCE(SUM(calls), 0) FROM answers").fetchone()[0]
            database.close()
        return total


@pytest.fixture
def scripted() -> ScriptedLanguageModel:
    return ScriptedLanguageModel(hashed)


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("rows")
    files = {}
    for part, per_class in PARTS.items():
        kept: Counter[tuple[str, str]] = Counter()
        lines = []
        for row in dataset(TASK.name, part):  # type: ignore[arg-type]
            place = (row["site"], row["label"])
            kept[place] += 1
            if row["site"] in SITES and kept[place] <= per_class:
                lines.append(json.dumps(dict(row)) + "\n")
        files[part] = str(folder / f"{part}.jsonl")
        Path(files[part]).write_text("".join(lines))
    return files


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def make_tiny(tiny_files: dict[str, str]) -> Callable[[Path], Tiny]:
    """Return what makes tiny configurations in a folder."""
    return lambda folder: Tiny(folder, tiny_files)


@pytest.fixture
def tiny(tiny_files: dict[str, str], tmp_path: Path) -> Tiny:
    return Tiny(tmp_path, tiny_files)
