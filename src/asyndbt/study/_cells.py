"""The cells of a study: every combination of method, task, seed and budget as one run."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from asyndbt.baselines import CenDBT, methods
from asyndbt.config import Config
from asyndbt.errors import AsyndbtError, ConfigError
from asyndbt.pocket import TASKS
from asyndbt.run import HALVES, AsynDBT, load_site_data, make_task
from asyndbt.scoring import CALIBRATION_QUERIES
from asyndbt.study._file import POCKET, StudyFile, keys_of
from asyndbt.task import digest, merge_sites

BOTH: Final = "both"
ATTACK: Final = "attack"
SHARE: Final = "share"
"""Keys that stand in a point of the grid for the table [federation.liars]."""
HONEST: Final = "none"
"""The attack of runs in which nobody lies."""
_LIARS: Final = "federation.liars"

Point = tuple[tuple[str, Any], ...]
"""A point of the grid: pairs of key and value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a study.

    Parameters
    ----------
    calls : int
        Budget of a site, for tuning and validation.
    mode : str
        What is tuned: ``both``, ``demonstrations`` or ``fragment``.
    config : Config
        With a directory of its own, which depends on every setting.
    options : mapping
        Options of the method.
    """

    method: str
    task: str
    seed: int
    calls: int
    mode: str
    point: Point
    config: Config
    options: Mapping[str, Any]

    @property
    def directory(self) -> Path:
        """Directory of the run's record."""
        return self.config.run.dir

    @property
    def title(self) -> str:
        """Name of the cell in messages."""
        parts = [self.method, self.task, f"seed {self.seed}", f"{self.calls} calls"]
        if self.mode != BOTH:
            parts.append(f"{self.mode} only")
        return ", ".join([*parts, *(f"{name} = {value}" for name, value in self.point)])


def needs_calls(method: str) -> bool:
    """Whether the results of a method depend on the budget for tuning."""
    return methods()[method].needs_calls


def is_baseline(method: str) -> bool:
    """Whether a method is compared with asyndbt."""
    return not issubclass(methods()[method], AsynDBT)


def cells_of(file: StudyFile) -> list[Cell]:
    """Return every run of a study once, those of the main tables first.

    Raises
    ------
    AsyndbtError
        If a setting or a data file cannot be used; the message names the method and the task.
    """
    study, cells = file.study, []
    points = _points(file.grid)
    curve_seeds = study.seeds[: study.curve_seeds]
    for point, task, method in itertools.product(points, study.tasks, study.methods):
        cell = _CellFactory(file, point, task, method)
        with naming(f"method {method}, task {task}"):
            cells += [cell(seed, study.calls) for seed in study.seeds]
            if method in study.ablation:
                cells += [cell(s, study.calls, half) for half in HALVES for s in study.seeds]
            if needs_calls(method):
                others = [calls for calls in study.curve_calls if calls != study.calls]
                cells += [cell(seed, calls) for calls in others for seed in curve_seeds]
    # If the base tunes one half only, the ablation repeats cells; honest sites do for every attack.
    unique = {cell.directory: cell for cell in cells}
    _check_liars(list(unique.values()))
    return sorted(unique.values(), key=lambda cell: cell.calls != study.calls)


def _check_liars(cells: Sequence[Cell]) -> None:
    attacks = {dict(cell.point).get(ATTACK, HONEST) for cell in cells}
    if HONEST not in attacks:
        raise ConfigError(
            f"grid.{_LIARS} has no share of 0: add one, since what liars cost is measured against "
            "runs in which nobody lies"
        )
    runs = {
        (each.method, each.task, each.seed, each.calls, each.mode, each.point) for each in cells
    }
    if len(runs) < len(cells):
        raise ConfigError(
            f"grid.{_LIARS} has an attack with one share more than once: other words are for the "
            "tables of tasks, other sites for another study"
        )


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put `what` in front of every line of an error's message."""
    try:
        yield
    except AsyndbtError as error:
        error.args = ("\n".join(f"{what}: {line}" for line in str(error).splitlines()),)
        raise


def _points(grid: Mapping[str, Any]) -> list[Point]:
    lists = keys_of(grid)
    return [tuple(zip(lists, each, strict=True)) for each in itertools.product(*lists.values())]


def _told_apart(point: Point, config: Config) -> Point:
    """Return a point with attack and share of the liars in place of all keys about these.

    So runs in which nobody lies are at one point, whatever the attack that was not made.
    """
    others = tuple(pair for pair in point if not f"{pair[0]}.".startswith(f"{_LIARS}."))
    if len(others) == len(point):
        return point
    liars = config.federation.liars
    if liars is None:
        return (*others, (ATTACK, HONEST), (SHARE, 0.0))
    share = liars.share
    if liars.sites is not None:
        share = round(len(liars.sites) / sizes_of(config).sites, 3)
    return (*others, (ATTACK, liars.attack), (SHARE, share))


@dataclass(frozen=True, slots=True)
class _CellFactory:
    file: StudyFile
    point: Point
    task: str
    method: str

    def __call__(self, seed: int, calls: int, mode: str | None = None) -> Cell:
        config = self._config(seed)
        if mode is not None:
            idle = config.method.model_copy(update={"mode": mode}).idle()
            dropped = {f"method.{name}": None for name in idle if name in config.method.given}
            config = config.override({**dropped, "method.mode": mode})
        options = self.file.options.get(self.method, {})
        config = config.override({"budget.calls": _total(config, self.method, calls, options)})
        methods()[self.method].check(config)
        name = _name(self.method, self.task, seed, calls, config, options)
        config = config.override({"run.dir": self.file.study.dir / "runs" / name})
        mode = config.method.mode
        point = _told_apart(self.point, config)
        return Cell(self.method, self.task, seed, calls, mode, point, config, options)

    def _config(self, seed: int) -> Config:
        file, tables = self.file, {}
        if self.task.startswith(POCKET):
            demo = TASKS[self.task.removeprefix(POCKET)]
            tables = demo.config_tables(file.study.pocket_rows)
        for more in (file.base, file.tasks.get(self.task, {}), file.overrides.get(self.method, {})):
            tables = _merged(tables, more)
        # The budget depends on the sizes of the data, and is set once these are known.
        budget = (("budget.calls", 1), ("budget.test_share", 1.0))
        for name, value in (*self.point, ("run.seed", seed), *budget):
            tables = _merged(tables, _nested(name, value))
        return Config.from_dict(tables, base=file.place, name=file.study.name or "study")


def _total(config: Config, method: str, calls: int, options: Mapping[str, Any]) -> int:
    """Return the whole budget: tuning and validation at all sites, and the final evaluation."""
    tuned = _baseline_mode(config, method, options) if is_baseline(method) else config.method.mode
    kinds = 2 + (config.method.random_icl_draws if tuned != "fragment" else 0)
    return sizes_of(config).sites * calls + kinds * evaluation_of(config, method)


def evaluation_of(config: Config, method: str) -> int:
    """Return the most calls for which a prompt is calibrated and evaluated at all sites."""
    sizes, calibrating = sizes_of(config), CALIBRATION_QUERIES[config.lm.calibration]
    if method == CenDBT.name:
        return sizes.test_pooled + calibrating
    return sizes.test + sizes.sites * calibrating


def _baseline_mode(config: Config, method: str, options: Mapping[str, Any]) -> str:
    """Return what a baseline tunes: some have no demonstrations, whatever is configured."""
    try:
        made = methods()[method](**options)
    except TypeError as error:
        raise ConfigError(f"options.{method}: {error}; see the method's parameters") from None
    return made.configure(config).method.mode


class Sizes(NamedTuple):
    """Numbers of sites, validation examples and test examples, and a digest of all examples.

    `test_pooled` counts a test example once that several sites have.
    """

    sites: int
    validation: int
    test: int
    test_pooled: int
    rows: str


def sizes_of(config: Config) -> Sizes:
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
        len(merge_sites(sites).test),
        digest([[site.name, site.digests] for site in sites]),
    )


def _name(
    method: str, task: str, seed: int, calls: int, config: Config, options: Mapping[str, Any]
) -> str:
    values = config.to_dict()
    del values["run"]["dir"]
    identity: list[Any] = [method, task, values, dict(options)]
    if not task.startswith(POCKET):
        # Files may be edited; the rows of the package are those of their name.
        identity.append(sizes_of(config).rows)
    short = re.sub(r"[^\w.-]", "-", task.removeprefix(POCKET))
    return f"{method}-{short}-seed{seed}-calls{calls}-{digest(identity)[:8]}"


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested tables; `other` takes precedence."""
    merged = dict(one)
    for name, value in other.items():
        below = one.get(name)
        deep = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[name] = _merged(below, value) if deep else value  # type: ignore[arg-type]
    return merged


def _nested(name: str, value: Any) -> dict[str, Any]:
    """Return a value by its dotted key as nested tables.

    Examples
    --------
    >>> _nested("method.draws", 4)
    {'method': {'draws': 4}}
    """
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)
