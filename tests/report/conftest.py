"""Small but whole runs of every kind, made once, for tests that only look at them."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.pocket import TASKS, dataset
from asyndbt.run import run_config

TASK = TASKS["sentiment-consumer"]
HOSTILE = "<script>alert(1)</script>"
PARTS = {"train": 12, "validation": 3, "test": 5}


def _rows(part: str, per_class: int) -> Iterator[dict[str, str]]:
    kept: Counter[tuple[str, str]] = Counter()
    for row in dataset(TASK.name, part):  # type: ignore[arg-type]
        kept[row["site"], row["label"]] += 1
        if kept[row["site"], row["label"]] <= per_class:
            yield dict(row)


def _write(folder: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
    folder.mkdir()
    for part, count in PARTS.items():
        lines = [json.dumps(change(row)) for row in _rows(part, count)]
        (folder / f"{part}.jsonl").write_text("\n".join(lines))
    return {part: str(folder / f"{part}.jsonl") for part in PARTS}


def _config(directory: Path, data: dict[str, Any], calls: int = 150, **changes: Any) -> Config:
    tables: dict[str, Any] = {
        "task": {"instruction": TASK.instruction, "labels": dict(TASK.labels)},
        "data": _given({"site_column": "site", "pool_per_class": 4, **data}),
        "method": _given(
            {
                "vocabulary": "pocket",
                "vocabulary_limit": 12,
                "fragment_length": 3,
                "draws": 3,
                "batch_size": 2,
                "random_icl_draws": 2,
                "confirm_candidates": 2,
                "refresh_every": 4,
                "plane_tolerance": 0.01,
                **changes.pop("method", {}),
            }
        ),
        "budget": {"per_site": {"calls": calls}},
        "run": {"dir": str(directory), "seed": 3},
    }
    return Config.from_dict({**tables, **changes})


def _given(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


class Runs(dict[str, Path]):
    """Directories of runs by what is special about them; each is made when it is first wanted."""

    def __init__(self, folder: Path, configs: dict[str, Config]) -> None:
        super().__init__()
        self._folder, self._configs = folder, configs

    def __missing__(self, kind: str) -> Path:
        directory = self._folder / kind
        if kind in self._configs:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda descriptor: None)
                run_config(self._configs[kind])
        else:
            shutil.copytree(self["three"], directory)
        if kind == "apart":
            shutil.rmtree(directory / "sites")
        if kind == "interrupted":
            for file in ("result.json", "traffic.json"):
                (directory / file).unlink()
            for part in directory.glob("sites/*/*"):
                if part.name != "state":
                    part.unlink()
        self[kind] = directory
        return directory


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    plain = _write(folder / "plain", dict)
    hostile = _write(
        folder / "hostile-data",
        lambda row: {
            "text_a": f"</pre>{HOSTILE} {row['text_a']}",
            "label": HOSTILE if row["label"] == "positive" else row["label"],
            "site": row["site"],
        },
    )
    (folder / "words.txt").write_text(f"{HOSTILE}\n<img src=http://127.0.0.1/x>\ngood & bad\n")
    alone = {"train": plain["train"], "validation": plain["validation"], "site_column": None}
    configs = {
        "three": _config(folder / "three", plain),
        "virtual": _config(
            folder / "virtual",
            plain,
            federation={
                "engine": "virtual",
                "lease": 6.0,
                "delays": {
                    "slow": {"phones": 4.0},
                    "dead": {"movies": 8.0},
                    "rejoin": {"movies": 25.0},
                },
            },
        ),
        "one-site": _config(folder / "one-site", {**plain, "site_column": None}, 270),
        "untested": _config(folder / "untested", alone, 270, method={"mode": "fragment"}),
        "demonstrations": _config(
            folder / "demonstrations",
            plain,
            method={
                "mode": "demonstrations",
                "vocabulary": None,
                "vocabulary_limit": None,
                "fragment_length": None,
            },
        ),
        "hostile": _config(
            folder / "hostile",
            hostile,
            task={
                "instruction": 'How does "{text_a}" <b>feel</b>?',
                "labels": {HOSTILE: "great", "negative": "terrible"},
            },
            method={"vocabulary": str(folder / "words.txt"), "distinct_words": False},
        ),
    }
    return Runs(folder, configs)
