"""The table [task.judge]: a language model that says what answers are worth."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError, ValidationInfo, field_validator

from asyndbt._section import Section, SettingError, key
from asyndbt.config._base import LimitsConfig
from asyndbt.config._explain import explain_errors
from asyndbt.config._lm import LMConfig

_UNREAD = ("smoothing", "calibration", "cache")
"""Keys of [lm] that nothing reads: a judge gives no labels, and its replies stay at their site."""


class JudgeBudget(LimitsConfig):
    """[task.judge.budget]: caps of the judge over all sites, apart from [budget]."""


class JudgeConfig(Section):
    """[task.judge]: a language model that says what an answer is worth, with reward "judge"."""

    prompt: str = key(
        ...,
        "What the judge is asked, with {answer}, {expected} and the fields of the instruction.",
        example="{text}\n\nIs this a good title, from 0 to 10? {answer}",
        min_length=1,
    )
    scale: float = key(
        10.0,
        "The number that the judge gives a perfect answer; the worst has 0.",
        example=1.0,
        gt=0,
    )
    lm: dict[str, Any] = key(
        ...,
        "The judge, as in [lm], but for smoothing, calibration and cache.",
        example={"provider": "openai", "model": "gpt-4o-mini"},
        kind="table: as [lm]",
    )
    budget: JudgeBudget = key(
        JudgeBudget(),
        "Caps of the judge over all sites, apart from [budget].",
        example={"calls": 5000},
    )

    @field_validator("lm")
    @classmethod
    def _checked(cls, lm: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        try:
            made = LMConfig.model_validate(lm, context=info.context)
        except ValidationError as error:
            raise SettingError("", f"= {explain_errors(error, LMConfig, None)}") from None
        for name in _UNREAD:
            if name in made.given:
                raise SettingError(name, "has no effect on a judge: remove it")
        found: dict[str, Any] = made.model_dump(
            mode="json", exclude_none=True, exclude=set(_UNREAD)
        )
        return found

    @property
    def model(self) -> LMConfig:
        """The judge's settings."""
        return LMConfig.model_validate(self.lm, context={"reward": "judge"})
