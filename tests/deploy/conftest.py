"""Federations of three small sites: every site with files of its own, the coordinator with none."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import VirtualLoop

from asyndbt.config import Config, load_config
from asyndbt.config._toml import format_table
from asyndbt.deploy._conduct import conduct
from asyndbt.deploy._site import SiteHost
from asyndbt.federation.engines import Handler
from asyndbt.federation.engines._base import Channel
from asyndbt.pocket import TASKS, dataset
from asyndbt.run import Observer, Result
from asyndbt.run._directory import RunDirectory
from asyndbt.testing import LoopbackGrid

TASK = TASKS["sentiment-consumer"]
PARTS = {"train": 14, "validation": 3, "test": 3}
SITES = ("meals", "movies", "phones")
METHOD = {
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
}
CALLS = 126
"""Of a site: 12 steps of 6 prompts, 5 looks at 6 validation examples, 4 x 6 tests."""

Rows = list[dict[str, str]]


@cache
def rows_of(part: str, site: str) -> Rows:
    """The first rows of every class."""
    kept: Counter[str] = Counter()
    rows = []
    for row in dataset(TASK.name, part):  # type: ignore[arg-type]
        if row["site"] == site:
            kept[row["label"]] += 1
            if kept[row["label"]] <= PARTS[part]:
                rows.append({"text_a": row["text_a"], "label": row["label"]})
    return rows


def delayed(handler: Handler, seconds: float) -> Handler:
    async def answer(frame: bytes) -> bytes:
        await asyncio.sleep(seconds)
        return await handler(frame)

    return answer


@dataclass
class Federation:
    """A folder with the coordinator's file, and one folder per site."""

    folder: Path
    sites: tuple[str, ...] = SITES
    opened: ExitStack = field(default_factory=ExitStack)
    hosts: dict[str, SiteHost] = field(default_factory=dict)

    def write(
        self,
        *,
        change: Callable[[str, Rows], Rows] = lambda part, rows: rows,
        labels: Mapping[str, str] = TASK.labels,
        source: Callable[[str], str] = lambda site: site,
        address: str = "127.0.0.1:9092",
        link: Callable[[str], dict[str, str]] = lambda site: {},
        calls: int = CALLS,
        **tables: dict[str, Any],
    ) -> Path:
        """Write all files; return the shared one. `calls` is the cap of every site.

        `link` may give a site another address, of something between it and the coordinator.
        """
        shared = {
            "task": {"instruction": TASK.instruction, "labels": dict(labels)},
            "method": METHOD | tables.pop("method", {}),
            "federation": {"engine": "flower", "sites": list(self.sites), "lease": 60.0}
            | tables.pop("federation", {}),
            "budget": {"per_site": {"calls": calls}},
            "run": {"dir": "run", "seed": 3} | tables.pop("run", {}),
        }
        shared["federation"]["flower"] = {"address": address, **tables.pop("flower", {})}
        text = format_table({**shared, **tables})
        self.folder.mkdir(parents=True, exist_ok=True)
        self.shared.write_text(text)
        for site in self.sites:
            coordinator = {"address": address, **link(site)}
            self.write_site(site, text, change, source(site), coordinator, calls)
        return self.shared

    def write_site(
        self,
        site: str,
        shared: str,
        change: Callable[[str, Rows], Rows],
        source: str,
        coordinator: dict[str, str],
        calls: int,
    ) -> None:
        folder = self.folder / site
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "shared.toml").write_text(shared)
        for part in PARTS:
            lines = (json.dumps(row) + "\n" for row in change(part, rows_of(part, source)))
            (folder / f"{part}.jsonl").write_text("".join(lines))
        tables = {
            "site": {"name": site, "shared": "shared.toml", "state": "state"},
            "coordinator": coordinator,
            "data": {**{part: f"{part}.jsonl" for part in PARTS}, "pool_per_class": 4},
            "budget": {"calls": calls},
        }
        (folder / "site.toml").write_text(format_table(tables))

    @property
    def shared(self) -> Path:
        return self.folder / "shared.toml"

    def host(self, site: str) -> SiteHost:
        """The long-lived part of a site, started from its files; the one before was killed."""
        before = self.hosts.get(site)
        if before is not None and before._site is not None:
            before._site.claim.close()
        host = self.hosts[site] = self._started(self.folder / site)
        return host

    def twin(self, site: str) -> SiteHost:
        """A site of the same name on another machine."""
        folder = self.folder / f"{site}-twin"
        shutil.copytree(self.folder / site, folder)
        return self._started(folder)

    def _started(self, folder: Path) -> SiteHost:
        host = SiteHost(folder / "site.toml")
        self.opened.callback(lambda: asyncio.run(host.close()))
        return host

    def grid(
        self,
        tap: Callable[[int, str, bytes], None] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> LoopbackGrid:
        """All sites as nodes of one process, with the time that each takes over an answer."""
        grid = LoopbackGrid(tap)
        for number, site in enumerate(self.sites, start=1):
            grid.connect(number, delayed(self.host(site).answer, (seconds or {}).get(site, 0.0)))
        return grid

    def conduct(
        self,
        grid: LoopbackGrid,
        *,
        observers: tuple[Observer, ...] = (),
        channel: Channel | None = None,
    ) -> Result:
        """Carry the run out, or go on with it, in virtual time."""
        config = self.config
        directory = RunDirectory(config.run.dir)
        return conduct(
            config, directory, grid, observers=observers, channel=channel, new_loop=VirtualLoop
        )

    @property
    def config(self) -> Config:
        return load_config(self.shared)

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The coordinator's event log."""
        lines = (self.config.run.dir / "events.jsonl").read_text("utf-8").splitlines()
        events = [json.loads(line) for line in lines]
        return [event for event in events if not kind or event["kind"] == kind]

    @staticmethod
    def read(file: Path) -> Any:
        return json.loads(file.read_text("utf-8"))

    def kept(self, site: str) -> Path:
        """What the site keeps of the only run it took part in."""
        (folder,) = (self.folder / site / "state" / "runs").iterdir()
        return folder


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path / "f")
    with made.opened:
        yield made


@pytest.fixture(scope="module")
def make_federation() -> type[Federation]:
    return Federation


@pytest.fixture(scope="session")
def one_machine() -> Callable[..., Config]:
    """The same run with engine "local": the data of all sites in one file of tables."""

    def config(folder: Path, method: Mapping[str, Any] = METHOD, **federation: Any) -> Config:
        files = {
            site: {part: str(folder / site / f"{part}.jsonl") for part in PARTS} for site in SITES
        }
        return Config.from_dict(
            {
                "task": {"instruction": TASK.instruction, "labels": dict(TASK.labels)},
                "data": {"sites": files, "pool_per_class": 4},
                "method": {**METHOD, **method},
                "federation": federation,
                "budget": {"per_site": {"calls": CALLS}},
                "run": {"dir": str(folder / "local"), "seed": 3},
            }
        )

    return config


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time of such a small run; only a failing machine could tell the difference."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
