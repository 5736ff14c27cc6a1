"""From the file of a study to its cells: one run each, all with their budgets and directories."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from asyndbt.baselines import methods
from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.pocket import TASKS
from asyndbt.run import load_site_data, make_task
from asyndbt.study._file import POCKET, StudyFile, keys_of

__all__ = ["BOTH", "FREE_OF_CALLS", "OURS", "Cell", "CellPoint", "Sizes", "cells_of", "sizes_of"]

FREE_OF_CALLS: Final = ("manual", "zero-shot-cot", "random-icl", "kate", "encoder-mlp")
"""Methods that ask nothing before the test split: one budget is as good as another."""

OURS: Final = ("asyndbt", "cendbt")
"""Everything else is a baseline."""

BOTH: Final = "both"
_PARTS: Final = ("demonstrations", "fragment")

CellPoint = tuple[tuple[str, Any], ...]
"""A point of the grid: a value for every key."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a study.

    Parameters
    ----------
    method : str
    task : str
    seed : int
    calls : int
        Of a site, for tuning and choosing.
    mode : str
        What is tuned: ``both``, ``demonstrations`` or ``fragment``.
    point : Point
    config : Config
        Its directory is the cell's own.
    options : mapping
        The method's own.
    """

    method: str
    task: str
    seed: int
    calls: int
    mode: str
    point: CellPoint
    config: Config
    options: Mapping[str, Any]

    @property
    def directory(self) -> Path:
        """Where the run is recorded; another setting is another directory."""
        return self.config.run.dir

    @property
    def title(self) -> str:
        """The cell in a few words."""
        mode = () if self.mode == BOTH else (f"{self.mode} only",)
        more = (*mode, *(f"{name} = {value}" for name, value in self.point))
        return ", ".join(
            (f"{self.method}, {self.task}, seed {self.seed}, {self.calls} calls", *more)
        )


def cells_of(file: StudyFile) -> list[Cell]:
    """Return every run of a study once, those of the main tables first.

    Raises
    ------
    ConfigError, DataError
        If a setting or a file of data is not usable; nothing has been run then.
    """
    study, cells = file.study, []
    points = _points(file.grid)
    shorter = study.seeds[: study.curve_seeds]
    for point, task, method in itertools.product(points, study.tasks, study.methods):
        make = _Maker(file, point, task, method)
        cells += [make.cell(seed, study.calls, None) for seed in study.seeds]
        if method in study.ablation:
            cells += [make.cell(s, study.calls, m) for m in _PARTS for s in study.seeds]
        if method not in FREE_OF_CALLS:
            others = [calls for calls in study.curve_calls if calls != study.calls]
            cells += [make.cell(s, calls, None) for calls in others for s in shorter]
    # The ablation of a study of fragments alone asks for what is there already.
    once = {cell.directory: cell for cell in cells}
    return sorted(once.values(), key=lambda cell: cell.calls != study.calls)


def _points(grid: Mapping[str, Any]) -> list[CellPoint]:
    lists = keys_of(grid)
    return [tuple(zip(lists, each, strict=True)) for each in itertools.product(*lists.values())]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the cells of one method on one task at one point of the grid."""

    file: StudyFile
    point: CellPoint
    task: str
    method: str

    def cell(self, seed: int, calls: int, mode: str | None) -> Cell:
        config = self._config(seed)
        if mode is not None:
            idle = config.method.model_copy(update={"mode": mode}).idle()
            dropped = {f"method.{name}": None for name in idle if name in config.method.given}
            config = config.override({**dropped, "method.mode": mode})
        options = self.file.options.get(self.method, {})
        config = config.override({"budget.calls": _total(config, self.method, calls, options)})
        name = _name(self.method, self.task, seed, calls, config, options)
        config = config.override({"run.dir": self.file.study.dir / "runs" / name})
        mode = config.method.mode
        return Cell(self.method, self.task, seed, calls, mode, self.point, config, options)

    def _config(self, seed: int) -> Config:
        """Return the configuration, with a budget that is none yet."""
        file, tables = self.file, _pocket_tables(self.task)
        for more in (file.base, file.tasks.get(self.task, {}), file.overrides.get(self.method, {})):
            tables = _merged(tables, more)
        for name, value in (*self.point, ("run.seed", seed), ("budget.calls", 1)):
            tables = _merged(tables, _nested(name, value))
        try:
            return Config.from_dict(tables, base=file.place, name=file.study.name or "study")
        except ConfigError as error:
            where = f"method {self.method}, task {self.task}"
            lines = [f"{where}: {line}" for line in str(error).splitlines()]
            raise ConfigError("\n".join(lines)) from None


def _total(config: Config, method: str, calls: int, options: Mapping[str, Any]) -> int:
    """Return the whole budget: the sites' calls for tuning and choosing, and the evaluation."""
    sizes = sizes_of(config)
    mode = config.method.mode if method in OURS else _mode(config, method, options)
    kinds = 2 + (config.method.random_icl_draws if mode != "fragment" else 0)
    return sizes.sites * calls + kinds * sizes.test


def _mode(config: Config, method: str, options: Mapping[str, Any]) -> str:
    """Return what a baseline tunes: some have no demonstrations, whatever the settings say."""
    try:
        made = methods()[method](**options)
    except TypeError as error:
        raise ConfigError(f"options.{method}: {error}; see the method's parameters") from None
    return made.configure(config).method.mode


class Sizes(NamedTuple):
    """How many sites there are, and how many examples all of them together have."""

    sites: int
    validation: int
    test: int


def sizes_of(config: Config) -> Sizes:
    """Return the sizes of a configuration's data."""
    values = {name: config.to_dict()[name] for name in ("task", "data")}
    return _sizes(json.dumps(values, sort_keys=True), config.run.seed)


@lru_cache(maxsize=1024)
def _sizes(tables: str, seed: int) -> Sizes:
    values = {**json.loads(tables), "budget": {"calls": 1}, "run": {"seed": seed}}
    config = Config.from_dict(values)
    sites = load_site_data(config, make_task(config)).sites
    return Sizes(
        len(sites),
        sum(len(site.validation) for site in sites),
        sum(len(site.test) for site in sites),
    )


def _pocket_tables(task: str) -> dict[str, Any]:
    """Return the tables of a demo task; none for another."""
    if not task.startswith(POCKET):
        return {}
    name = task.removeprefix(POCKET)
    known = TASKS[name]
    parts = ("train", "validation", "test")
    return {
        "task": {"instruction": known.instruction, "labels": dict(known.labels)},
        "data": {**{part: f"{task}/{part}" for part in parts}, "site_column": "site"},
        "lm": {"provider": "pocket"},
        "method": {"vocabulary": "pocket"},
    }


def _name(
    method: str, task: str, seed: int, calls: int, config: Config, options: Mapping[str, Any]
) -> str:
    values = config.to_dict()
    del values["run"]["dir"]
    canonical = json.dumps([method, task, values, dict(options)], sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
    short = re.sub(r"[^\w.-]", "-", task.removeprefix(POCKET))
    return f"{method}-{short}-seed{seed}-calls{calls}-{digest}"


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables over others, key by key."""

    def both() -> Iterator[tuple[str, Any]]:
        yield from one.items()
        for name, value in other.items():
            below = one.get(name)
            deep = isinstance(value, Mapping) and isinstance(below, Mapping)
            yield name, _merged(below, value) if deep else value  # type: ignore[arg-type]

    return dict(both())


def _nested(name: str, value: Any) -> dict[str, Any]:
    """Return a value by its full key as nested tables.

    Examples
    --------
    >>> _nested("method.draws", 4)
    {'method': {'draws': 4}}
    """
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)
