"""Whole runs over HTTP on this machine, and what their endpoint saw of them."""

from __future__ import annotations

import json
import os
import sqlite3
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.server import FaultServer, Reply, Request, completion
from tests.run.conftest import Small, asked, data_files

from asyndbt.config import Config

__all__ = ["Kit", "asked", "data_files", "kit"]


Fate = Callable[[int], Reply | None]
"""By the number of a request: what comes in place of its answer."""


def spared(number: int) -> None:
    """Meet no fate."""


class Kit(Small):
    """Small runs that ask an endpoint, and the marks that they leave there and on disk."""

    @property
    def budget(self) -> dict[str, Any]:
        """Enough for a few steps."""
        return {"per_site": {"calls": self.least + 5 * self.step}}

    def over(self, url: str, name: str = "run", /, **changes: dict[str, Any]) -> Config:
        """A run that asks an endpoint and never waits long before it asks again."""
        lm = {"provider": "openai", "model": "pocket", "base_url": url, "system": ""}
        tables = {"budget": self.budget, **changes, "lm": {**lm, **changes.get("lm", {})}}
        return self.config(name, **tables)

    def written(self, config: Config) -> Path:
        """The configuration as a file."""
        file = self.folder / f"{config.run.dir.name}.toml"
        config.dump(file)
        return file

    @staticmethod
    def endpoint(fate: Fate = spared) -> FaultServer:
        """One that answers by the length of the prompt, save for requests that meet their fate."""
        return FaultServer(lambda number, request: fate(number) or label_by_length(request))

    @staticmethod
    def answered(requests: Iterable[Request], fate: Fate = spared) -> Counter[str]:
        """Bodies that were answered, and how often."""
        good = (each for each in requests if each.sent and not fate(each.number))
        return Counter(json.dumps(each.body, sort_keys=True) for each in good)

    @staticmethod
    def rows(directory: Path, table: str, where: str = "1") -> int:
        """Count rows in all sites' files of paid answers."""
        count = 0
        for file in directory.glob("sites/*/answers.sqlite"):
            database = sqlite3.connect(file)
            count += database.execute(f"SELECT COUNT(*) FROM {table} WHERE {where}").fetchone()[0]
            database.close()
        return count


def label_by_length(request: Request) -> Reply:
    """Answer one of the two labels, surer of it the longer the prompt is."""
    text = "".join(turn["content"] for turn in request.body["messages"])
    sure = -0.01 * (1 + len(text) % 30)
    said, other = ("great", "terrible") if len(text) % 2 else ("terrible", "great")
    return completion(said, logprobs=[{said: sure, other: sure - 1.0}], usage=(len(text) // 4, 1))


@pytest.fixture(autouse=True)
def _no_reading_of_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP needs none, and they would take most of the tests' time."""
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)


@pytest.fixture
def kit(data_files: dict[str, str], tmp_path: Path) -> Kit:
    return Kit(data_files, tmp_path)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time of such a small run; only a failing machine could tell the difference."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
