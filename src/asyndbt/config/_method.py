"""The table [method]: how the prompt is tuned.

Keys that the numerics read are declared in `asyndbt.optim.Settings`, those of one estimator beside
it; all others are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from asyndbt._section import Section, SettingError, key
from asyndbt._text import did_you_mean, quoted
from asyndbt.config._base import resolved
from asyndbt.config._toml import format_value
from asyndbt.optim import PRESETS, Settings, find_estimators
from asyndbt.prompt import TFIDF

_VOCABULARIES = ("builtin", "pocket", "pmi", "propose")

_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": PRESETS["default"],
    "paper": {
        **PRESETS["paper"],
        "vocabulary_limit": 100,
        "fragment_length": 75,
        "iterations": 500,
    },
}
"""Keys that a preset sets; the paper's fragment and epochs are from its section 7."""

_OF_HINTS: Mapping[str, Any] = {"fragment_length": 2, "empty_fragment": True}
"""Defaults where an entry is a whole hint: few of them, and none at all competes."""

_OF_FRAGMENT = (
    *("vocabulary", "vocabulary_limit", "vocabulary_min_sites", "fragment_length"),
    *("proposals", "proposal_rounds", "proposal_ngram"),
)
_OF_DEMONSTRATIONS = ("demonstrations_per_class", "demonstrations_total", "neighbours")


def _vocabulary(value: str, info: ValidationInfo) -> str:
    if value in _VOCABULARIES:
        return value
    if not Path(value).suffix and "/" not in value and "\\" not in value:
        hint = did_you_mean(value, _VOCABULARIES, quoted)
        raise ValueError(
            f'use "builtin", "pocket", "pmi", "propose", or the path of a text file{hint}'
        )
    return str(resolved(value, info))


def _not_one(values: object) -> object:
    if isinstance(values, str):
        raise ValueError(f"give a list, such as [{quoted(values)}]")
    return values


def _similarities(values: list[str], info: ValidationInfo) -> list[str]:
    if not values or not all(values) or len(set(values)) < len(values):
        raise ValueError('give one or more, each once, such as "tfidf"')
    # Either a folder with a model or a name on the hub.
    folders = [resolved(value, info) for value in values]
    return [
        str(folder) if folder.is_dir() and value != TFIDF else value
        for value, folder in zip(values, folders, strict=True)
    ]


class _RunKeys(Section):
    """Keys that the numerics do not read."""

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
        "Words that the fragment is made of; in a text file, one entry a line; with propose, hints "
        "that the model writes at every site.",
        example="words.txt",
        kind='"builtin", "pocket", "pmi", "propose", or path',
    )
    vocabulary_limit: int | None = key(
        None, "Most entries of the vocabulary; all if left out.", example=200, ge=2
    )
    vocabulary_min_sites: int = key(
        2, 'Sites that must share an n-gram before "pmi" uses it in a federation.', example=3, ge=2
    )
    proposals: int = key(
        8, 'Hints that the model is asked for at once (vocabulary "propose").', example=12, ge=1
    )
    proposal_rounds: int = key(
        2, "Times that it is asked at every site, with other wrong answers.", example=3, ge=1
    )
    proposal_ngram: int = key(
        5,
        "Words in a row that no hint may have in common with a text of its site.",
        example=4,
        ge=2,
    )
    fragment_length: int = key(
        6, 'Words in the fragment; 2 with vocabulary "propose".', example=12, ge=1
    )
    demonstrations_per_class: int | None = key(
        None,
        "Demonstrations of each class in the prompt (1, unless demonstrations_total is given).",
        example=2,
        ge=1,
    )
    demonstrations_total: int | None = key(
        None, "Demonstrations in the prompt, all classes together.", example=8, ge=1
    )
    neighbours: (
        Annotated[list[str], BeforeValidator(_not_one), AfterValidator(_similarities)] | None
    ) = key(
        None,
        "Similarities by which a slot may also choose the example nearest to the query.",
        example=["tfidf"],
        kind='list of "tfidf" and models of sentence-transformers',
    )
    iterations: int | None = key(
        None, "Most server steps; until the budget is used if left out.", example=200, ge=1
    )
    local_steps: int = key(1, "Local steps, those of a site, between two reports.", example=2, ge=1)
    confirm_candidates: int = key(
        6, "Fragments that the sites compare on their data at the end.", example=8, ge=1
    )
    validations: int = key(
        3,
        "Looks of every site at its validation data while it tunes, paid out of the budget.",
        example=50,
        ge=1,
    )
    patience: int | None = key(
        None,
        "Looks without improvement after which tuning stops early; never if left out.",
        example=2,
        ge=1,
    )
    random_icl_draws: int = key(
        5, "Random draws of demonstrations that the comparison averages over.", example=10, ge=1
    )


# The keys of the second base come first in the file.
class MethodConfig(Settings, _RunKeys):
    """[method]: what is tuned, and how."""

    @classmethod
    def all_keys(cls) -> Mapping[str, FieldInfo]:
        return {name: _with_paper(name, field) for name, field in super().all_keys().items()}

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        derived = dict(_PRESETS.get(str(given.get("preset")), {}))
        if given.get("vocabulary") == "propose":
            derived |= _OF_HINTS
        if given.get("demonstrations_total") is None:
            derived["demonstrations_per_class"] = 1
        return derived

    def settings(self) -> Settings:
        """Return the keys that the numerics read."""
        values = self.model_dump()
        return Settings(**{name: values[name] for name in Settings.all_keys()})

    def idle(self) -> dict[str, str]:
        """Return the keys that have no effect, each with the setting that disables it."""
        idle: dict[str, str] = {}
        if self.mode == "fragment":
            idle |= dict.fromkeys(_OF_DEMONSTRATIONS, 'mode "fragment"')
        if self.mode == "demonstrations":
            idle |= dict.fromkeys(_OF_FRAGMENT, 'mode "demonstrations"')
        chosen = find_estimators()[self.estimator]
        for name, owner in self.option_owners().items():
            if owner is not chosen and not owner.always_applies:
                idle[name] = f'estimator "{self.estimator}"'
        if self.step != "exponentiated":
            idle["entropy"] = f'step "{self.step}"'
        return idle

    @model_validator(mode="after")
    def _check(self) -> Self:
        if None not in (self.demonstrations_total, self.demonstrations_per_class):
            raise SettingError(
                "demonstrations_total",
                "and method.demonstrations_per_class exclude each other: remove one of the two",
            )
        if self.patience is not None and self.patience >= self.validations:
            raise SettingError(
                "patience",
                f"= {self.patience} is never reached with validations = {self.validations}, of "
                "which the first is always the best so far: raise validations, or lower it",
            )
        for name in ("eta_lambda", "eta_theta") if self.regularisation == "scheduled" else ():
            if getattr(self, name) == 0:
                raise SettingError(
                    name, '= 0 leaves no schedule: set regularisation = "constant" or more than 0'
                )
        return self


def _with_paper(name: str, field: FieldInfo) -> FieldInfo:
    value = _PRESETS["paper"].get(name, field.default)
    if value == field.default:
        return field
    described = copy(field)
    described.description = (
        f'{(field.description or "").rstrip(".")} (preset "paper": {format_value(value)}).'
    )
    return described
