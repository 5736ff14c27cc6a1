"""The table [study] of a study's file: what is compared with what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from asyndbt.baselines import METHODS
from asyndbt.config.section import Directory, Section, SettingError, fill, key, nearest, resolved

__all__ = ["POCKET", "StudySection", "TaskId", "stranger"]

POCKET = "pocket:"
"""Before the name of a demo task, which needs no table of its own, but may have one."""


def _file_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise ValueError("a name holds letters, digits, and . _ - only")
    return value


def _task_name(value: str) -> str:
    return value if value.startswith(POCKET) else _file_name(value)


Id = Annotated[str, AfterValidator(_file_name)]
TaskId = Annotated[str, AfterValidator(_task_name)]
Calls = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class StudySection(Section):
    """[study]: what is compared with what."""

    name: Id | None = key(None, "Name of the study; the file's if left out.", example="pocket")
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

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        context = info.context or {}
        for name in ("methods", "ablation"):
            for method in getattr(self, name):
                _known(name, method, list(METHODS))
        for method in self.ablation:
            _known("ablation", method, self.methods)
        for name in ("methods", "tasks", "seeds", "curve_calls", "ablation"):
            values = getattr(self, name)
            for value in values:
                if values.count(value) > 1:
                    raise SettingError(name, f"names {value!r} twice: remove one")
        name = self.name or str(context.get("name", "study"))
        fill(self, name=name)
        if "dir" not in self.model_fields_set:
            fill(self, dir=resolved(f"runs/study-{name}", info))
        return self


def _known(place: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise stranger(place, name, known)


def stranger(place: str, name: str, known: list[str]) -> SettingError:
    """Return the error of a name that stands for nothing, with what was probably meant."""
    meant = nearest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"there are {', '.join(known)}"
    return SettingError(place, f'names "{name}", which is not one of them; {hint}')
