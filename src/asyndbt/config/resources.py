"""The tables [lm], [budget] and [run]: which model, what it may cost, where the record goes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ValidationInfo, model_validator

from asyndbt.config.section import Directory, Section, SettingError, fill, key, resolved

__all__ = ["BudgetConfig", "LMConfig", "LimitsConfig", "RunConfig"]


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII):
        raise SettingError(
            "", "holds the name of an environment variable, not the key itself: use OPENAI_API_KEY"
        )
    return value


class LMConfig(Section):
    """[lm]: the language model that prompts are tuned for."""

    provider: Literal["pocket"] = key(
        "pocket", "Who answers: the tiny model inside this package.", example="pocket"
    )
    model: str | None = key(
        None, "The model's name at the provider.", example="gpt-4o-mini", min_length=1
    )
    base_url: str | None = key(
        None, "Address of the provider.", example="http://localhost:8000/v1", min_length=1
    )
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = key(
        None, "Name of the environment variable that holds the key.", example="OPENAI_API_KEY"
    )
    feedback: Literal["logprobs", "text"] = key(
        "logprobs",
        "What an answer gives: log-probabilities of the label words, or text alone.",
        example="text",
    )
    smoothing: float = key(
        0.1,
        'Probability spread over the labels that were not answered, feedback "text".',
        example=0.2,
        gt=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("model", "base_url", "api_key_env"):
            if self.provider == "pocket" and getattr(self, name) is not None:
                raise SettingError(name, 'has no effect with provider "pocket": remove it')
        return self


class LimitsConfig(Section):
    """[budget.per_site]: caps of each site; one that is reached ends tuning there."""

    calls: int | None = key(None, "Most requests.", example=20_000, ge=1)
    tokens: int | None = key(None, "Most tokens, sent and received.", example=5_000_000, ge=1)
    money: float | None = key(
        None, "Most money, in the currency of the prices.", example=10.0, gt=0
    )


class BudgetConfig(LimitsConfig):
    """[budget]: totals of the whole run over all sites, everything included."""

    per_site: LimitsConfig = key(
        LimitsConfig(), "The same keys as caps of each site.", example={"calls": 2000}
    )


class RunConfig(Section):
    """[run]: the seed, and the directory of the record."""

    seed: int = key(0, "Seed of every random draw.", example=1, ge=0)
    dir: Directory = key(
        Path("runs/NAME-seedSEED"),
        "Directory of the run's record, relative to this file.",
        example="runs/first",
        kind="path",
    )

    @model_validator(mode="after")
    def _place(self, info: ValidationInfo) -> Self:
        if "dir" not in self.model_fields_set:
            context = info.context or {}
            runs = resolved(context.get("runs", "runs"), info)
            fill(self, dir=runs / f"{context.get('name', 'run')}-seed{self.seed}")
        return self
