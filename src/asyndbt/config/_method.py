"""The table [method]: how the prompt is tuned."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import AfterValidator, Field, ValidationInfo, create_model, model_validator

from asyndbt._section import Section, SettingError, key
from asyndbt.config._base import fill, nearest_name, resolved
from asyndbt.optim import PRESETS, Settings

__all__ = ["PAPER", "VOCABULARIES", "MethodConfig"]

VOCABULARIES = ("builtin", "pocket", "pmi")

PAPER = {"fragment_length": 75, "vocabulary_limit": 100, "iterations": 500}
"""What preset "paper" sets besides the fields of `Settings` (method section 7: M, N, epochs)."""

_OF_FRAGMENT = ("vocabulary", "vocabulary_limit", "vocabulary_min_sites", "fragment_length")
_OF_DEMONSTRATIONS = ("demonstrations_per_class", "demonstrations_total")
_OF_REGRESSION = ("ridge", "discount", "window", "shared_words", "positional_words")

_BOUNDS: dict[str, dict[str, Any]] = {
    "draws": {"ge": 2},
    "batch_size": {"ge": 1},
    "ridge": {"gt": 0},
    "discount": {"gt": 0, "le": 1},
    "window": {"ge": 1},
    "probability_floor": {"gt": 0},
    "lower_rounds": {"ge": 1},
}
"""Bounds of the settings; those not named here are 0 or more."""


def _vocabulary(value: str, info: ValidationInfo) -> str:
    if value in VOCABULARIES:
        return value
    if not Path(value).suffix and "/" not in value and "\\" not in value:
        meant = nearest_name(value, list(VOCABULARIES))
        hint = f'; did you mean "{meant}"?' if meant else ""
        raise ValueError(f'use "builtin", "pocket", "pmi", or the path of a text file{hint}')
    return str(resolved(value, info))


class _MethodKeys(Section):
    """[method]: what is tuned, and how; every field of `Settings` is a key as well."""

    preset: Literal["default", "paper"] = key(
        "default",
        "Where the settings below come from when they are not given: this project, or the paper.",
        example="paper",
    )
    mode: Literal["both", "demonstrations", "fragment"] = key(
        "both", "What is tuned; the rest stays as it starts.", example="demonstrations"
    )
    centralised: bool = key(
        False, "Pool the data of all sites at one worker (cenDBT), for comparison.", example=True
    )
    vocabulary: Annotated[str, AfterValidator(_vocabulary)] = key(
        "builtin",
        "Words that the fragment is made of; in a text file, one entry a line.",
        example="words.txt",
        kind='"builtin", "pocket", "pmi", or path',
    )
    vocabulary_limit: int | None = key(
        None, 'Most entries of the vocabulary (all; preset "paper": 100).', example=200, ge=2
    )
    vocabulary_min_sites: int = key(
        2, 'Sites that must share an n-gram before "pmi" uses it in a federation.', example=3, ge=2
    )
    fragment_length: int = key(6, 'Words in the fragment (preset "paper": 75).', example=12, ge=1)
    demonstrations_per_class: int | None = key(
        None,
        "Demonstrations of each class in the prompt (1, unless demonstrations_total is given).",
        example=2,
        ge=1,
    )
    demonstrations_total: int | None = key(
        None, "Demonstrations in the prompt, all classes together.", example=8, ge=1
    )
    iterations: int | None = key(
        None,
        'Most server steps (until the budget is used; preset "paper": 500).',
        example=200,
        ge=1,
    )
    local_steps: int = key(1, "Steps of a site between two reports.", example=2, ge=1)
    confirm_candidates: int = key(
        4, "Read-outs that are compared on validation data at the end.", example=8, ge=1
    )
    random_icl_draws: int = key(
        5, "Random draws of demonstrations that the comparison averages over.", example=10, ge=1
    )

    def settings(self) -> Settings:
        """Return the settings of the numerics, with the preset's values where none were given."""
        names = [field.name for field in dataclasses.fields(Settings)]
        return Settings(**{name: getattr(self, name) for name in names})

    def idle(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others, each with what takes it away."""
        idle: dict[str, str] = {}
        if self.mode == "fragment":
            idle |= dict.fromkeys(_OF_DEMONSTRATIONS, 'mode "fragment"')
        if self.mode == "demonstrations":
            idle |= dict.fromkeys(_OF_FRAGMENT, 'mode "demonstrations"')
        settings = self.settings()
        if settings.estimator != "regression":
            idle |= dict.fromkeys(_OF_REGRESSION, f'estimator "{settings.estimator}"')
        if settings.step != "exponentiated":
            idle["entropy"] = f'step "{settings.step}"'
        return idle

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        if self.demonstrations_total is None:
            if self.demonstrations_per_class is None:
                fill(self, demonstrations_per_class=1)
        elif self.demonstrations_per_class is not None:
            raise SettingError(
                "demonstrations_total",
                "and method.demonstrations_per_class exclude each other: remove one of the two",
            )
        values = dataclasses.asdict(PRESETS[self.preset])
        if self.preset == "paper":
            values |= PAPER
        fill(self, **{k: v for k, v in values.items() if k not in self.model_fields_set})
        self._check_schedules()
        return self

    def _check_schedules(self) -> None:
        settings = self.settings()
        if settings.regularisation != "scheduled":
            return
        for name in ("eta_lambda", "eta_theta"):
            if getattr(settings, name) == 0:
                raise SettingError(
                    name, '= 0 leaves no schedule: set regularisation = "constant" or more than 0'
                )


def _descriptions() -> dict[str, str]:
    """Read the one-line descriptions of the settings out of their docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (Settings.__doc__ or "").splitlines():
        if head := re.match(r" {4}(\w+(?:, \w+)*) : ", line):
            names = head[1].split(", ")
        elif names and re.match(r" {8}\S", line):
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    return found


def _settings_keys() -> dict[str, Any]:
    """Return the fields of `Settings` as keys, with their defaults, bounds and descriptions."""
    hints, said = get_type_hints(Settings), _descriptions()
    keys = {}
    for field in dataclasses.fields(Settings):
        default = getattr(PRESETS["default"], field.name)
        paper = getattr(PRESETS["paper"], field.name)
        number = hints[field.name] in (int, float)
        bounds: dict[str, Any] = _BOUNDS.get(field.name, {"ge": 0}) if number else {}
        description = (said.get(field.name, "") or field.name).replace("``", "")
        if paper != default:
            description = f'{description.rstrip(".")} (preset "paper": {paper}).'
        description = description.replace("`", "")
        keys[field.name] = (
            hints[field.name],
            Field(default, description=description, examples=[paper], **bounds),
        )
    return keys


if TYPE_CHECKING:

    class MethodConfig(_MethodKeys):
        """[method]: what is tuned, and how; every field of `Settings` is a key as well."""

else:
    MethodConfig = create_model(
        "MethodConfig",
        __base__=_MethodKeys,
        __module__=__name__,
        __doc__=_MethodKeys.__doc__,
        **_settings_keys(),
    )
