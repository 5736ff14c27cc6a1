"""The tables [budget] and [run]: what a run may cost, and where its record goes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import ValidationInfo, model_validator

from asyndbt.config.section import Directory, Section, fill, key, resolved

__all__ = ["BudgetConfig", "LimitsConfig", "RunConfig"]


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
