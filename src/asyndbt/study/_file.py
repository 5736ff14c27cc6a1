"""The file of a study: which methods are compared on which tasks, with which seeds and budgets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from asyndbt._section import Section, SettingError, key
from asyndbt._text import did_you_mean, quoted
from asyndbt.baselines import methods
from asyndbt.config import Directory, explain_errors, read_toml, resolved
from asyndbt.errors import ConfigError
from asyndbt.pocket import TASKS

POCKET = "pocket:"
"""Prefix of a demo task, for which a table is optional."""
_EXAMPLE = "docs/studies.md has one"
_MODE = "method.mode"
_UNCOMPARED = {
    "task.reward": "is about more than right and wrong",
    "task.costs": "is about more than right and wrong",
    "federation.privacy": "keeps scores at the sites",
}
"""Tables with which there is no accuracy to compare, and why."""
_RESERVED = {
    "run.seed": "use study.seeds",
    "run.dir": "use study.dir",
    "budget.calls": "use study.calls",
    "budget.per_site.calls": "use study.calls",
    "budget.test_share": "a study tests every example, and keeps that back beside study.calls",
    "method.centralised": 'use the method "cendbt"',
    "lm.cache": "its runs share their answers anyway, and each is charged for its own",
}


def _file_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise ValueError("a name holds letters, digits, and . _ - only")
    return value


def _study_name(value: str, info: ValidationInfo) -> str:
    # The name of the file itself is not restricted.
    return value if value == (info.context or {}).get("name") else _file_name(value)


def _task_name(value: str) -> str:
    return value if value.startswith(POCKET) else _file_name(value)


StudyName = Annotated[str, AfterValidator(_study_name)]
TaskId = Annotated[str, AfterValidator(_task_name)]
Calls = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class StudySection(Section):
    """[study]: what is compared with what."""

    name: StudyName | None = key(
        None, "Name of the study; the file's if left out.", example="pocket"
    )
    dir: Directory = key(
        Path("runs/study-NAME"),
        "Directory of everything that the study makes, relative to this file.",
        example="runs/first-study",
        kind="path",
    )
    methods: list[str] = key(
        ...,
        "The methods that are compared.",
        example=["asyndbt", "cendbt", "random-icl"],
        kind="list of names",
        min_length=1,
    )
    tasks: list[str] = key(
        ...,
        "The tasks: demo tasks as pocket:NAME, and the names of tables [tasks.NAME].",
        example=["pocket:sentiment-consumer"],
        kind="list of names",
        min_length=1,
    )
    pocket_rows: int = key(
        0,
        "Generator seed of the demo tasks' rows: choose settings on other rows than you report.",
        example=7,
        ge=0,
    )
    seeds: list[Seed] = key(
        [0, 1, 2, 3, 4], "The seeds.", example=[0, 1], kind="list of whole numbers", min_length=1
    )
    calls: int = key(
        2000,
        "Calls of a site for tuning and choosing; a method that pools the sites has their sum, and "
        "the final evaluation is paid besides.",
        example=500,
        ge=1,
    )
    curve_calls: list[Calls] = key(
        [],
        "Further budgets, for accuracy against calls.",
        example=[250, 500, 1000],
        kind="list of whole numbers",
    )
    curve_seeds: int | None = key(
        None, "How many of the seeds have the further budgets; all if left out.", example=3, ge=1
    )
    ablation: list[str] = key(
        [],
        "Methods of which demonstrations alone and the fragment alone are measured too.",
        example=["asyndbt", "cendbt"],
        kind="list of names",
    )

    ablation_parts: list[str] = key(
        [],
        "Methods of whose best run at every task both halves are asked alone on the test split.",
        example=["cendbt"],
        kind="list of names",
    )

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        """Return the file's name, and a directory named after the study."""
        name = given.get("name") or (info.context or {}).get("name", "study")
        return {"name": name, "dir": resolved(f"runs/study-{name}", info)}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("methods", "ablation", "ablation_parts"):
            for method in getattr(self, name):
                if method not in methods():
                    raise _unknown_name(name, method, list(methods()))
        for name in ("ablation", "ablation_parts"):
            for method in getattr(self, name):
                if method not in self.methods:
                    raise _unknown_name(name, method, self.methods)
        for name in ("methods", "tasks", "seeds", "curve_calls", "ablation", "ablation_parts"):
            for problem in _repeated(name, getattr(self, name)):
                raise problem
        return self


class StudyFile(Section):
    """The content of a study's file; made by `load_study` or `StudyFile.from_dict`."""

    study: StudySection = Field(description="What is compared with what.")
    base: dict[str, Any] = Field({}, description="Tables of a configuration, for every run.")
    tasks: dict[TaskId, dict[str, Any]] = Field({}, description="Tables of single tasks.")
    overrides: dict[str, dict[str, Any]] = Field({}, description="Tables of single methods.")
    options: dict[str, dict[str, Any]] = Field({}, description="Options of single methods.")
    grid: dict[str, Any] = Field({}, description="Lists of values, by key of a configuration.")
    _place: Path = PrivateAttr(Path())

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        name: str = "study",
        source: str | None = None,
        folder: Path | None = None,
    ) -> Self:
        """Validate a study given as nested mappings.

        Parameters
        ----------
        data : mapping
            Tables by name, as in the file.
        name : str
            Name of the study if `data` has none.
        source : str, optional
            The file, named in messages; relative paths start from its directory.
        folder : Path, optional
            Where relative paths of the tables of configurations start from instead.

        Raises
        ------
        ConfigError
            If anything is unknown, missing or wrong: one line per problem.
        """
        base = Path(source).parent if source else Path()
        try:
            made = cls.model_validate({"study": {}, **data}, context={"base": base, "name": name})
        except ValidationError as error:
            raise ConfigError(explain_errors(error, cls, source)) from None
        made._place = base if folder is None else folder
        return made

    @property
    def place(self) -> Path:
        """Directory that relative paths of the tables of configurations start from."""
        return self._place

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in (*self._unknown_names(), *self._reserved_keys(), *self._bad_lists()):
            raise problem
        return self

    def _unknown_names(self) -> Iterator[SettingError]:
        """Find unknown names, and tables of tasks or methods that the study does not have."""
        for task in self.study.tasks:
            known = list(self.tasks)
            if task.startswith(POCKET):
                known = [f"{POCKET}{name}" for name in TASKS]
            elif task not in known:
                yield SettingError(
                    "study.tasks",
                    f'names "{task}", which is no table here: write [tasks.{task}.task] and '
                    f"[tasks.{task}.data], or name a demo task such as {POCKET}{next(iter(TASKS))}",
                )
            if task not in known:
                yield _unknown_name("study.tasks", task, known)
        for task in self.tasks:
            if task not in self.study.tasks:
                yield SettingError(f"tasks.{task}", "is not among study.tasks: name it there")
        for place in ("overrides", "options"):
            for method in getattr(self, place):
                if method not in self.study.methods:
                    yield _unknown_name(f"{place}.{method}", method, self.study.methods)

    def _reserved_keys(self) -> Iterator[SettingError]:
        parts = [(f"tasks.{task}", table) for task, table in self.tasks.items()]
        parts += [(f"overrides.{method}", table) for method, table in self.overrides.items()]
        parts.append(("grid", self.grid))
        for place, table in (("base", self.base), *parts):
            for name, remedy in _RESERVED.items():
                if name in keys_of(table):
                    yield SettingError(f"{place}.{name}", f"is set by the study: {remedy}")
        for place, table in (("base", self.base), *parts):
            for name, (of, why) in product(keys_of(table), _UNCOMPARED.items()):
                if name.startswith(of):
                    yield SettingError(
                        f"{place}.{name}", f"{why}, and a study compares accuracies: remove it"
                    )
        for place, table in parts:
            if _MODE in keys_of(table):
                yield SettingError(
                    f"{place}.{_MODE}",
                    "would leave tables without numbers: name the method in study.ablation to "
                    f"measure the halves alone, or set base.{_MODE} for every run",
                )

    def _bad_lists(self) -> Iterator[SettingError]:
        for name, values in keys_of(self.grid).items():
            if not isinstance(values, list) or not values:
                yield SettingError(f"grid.{name}", "takes a list of values, such as [1, 2]")
            else:
                yield from _repeated(f"grid.{name}", values)


def load_study(path: Path | str, folder: Path | None = None) -> StudyFile:
    """Read the file of a study.

    Parameters
    ----------
    path : Path or str
        The file.
    folder : Path, optional
        Where the data are: relative paths of the tables of configurations start from here, not from
        the file's directory.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or holds a wrong setting.
    """
    path = Path(path)
    return StudyFile.from_dict(
        read_toml(path, _EXAMPLE), name=path.stem, source=str(path), folder=folder
    )


def is_study(path: Path | str) -> bool:
    """Whether a file can be read and has a table [study]."""
    try:
        return "study" in read_toml(Path(path), _EXAMPLE)
    except ConfigError:
        return False


def keys_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested tables by dotted key; an empty table has none.

    Examples
    --------
    >>> keys_of({"method": {"draws": 4}, "federation.quorum": "all"})
    {'method.draws': 4, 'federation.quorum': 'all'}
    """
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{below}": item for below, item in keys_of(value).items()}
        else:
            found[name] = value
    return found


def _repeated(place: str, values: list[Any]) -> Iterator[SettingError]:
    for value in values:
        if values.count(value) > 1:
            yield SettingError(place, f"names {value!r} twice: remove one")


def _unknown_name(place: str, name: str, known: list[str]) -> SettingError:
    hint = did_you_mean(name, known, quoted) or f"; there are {', '.join(known)}"
    return SettingError(place, f'names "{name}", which is not one of them{hint}')
