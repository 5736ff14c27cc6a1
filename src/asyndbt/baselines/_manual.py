"""The manual prompt: the task's instruction, without demonstrations or fragment.

Source: the reference "manual prompt" of Ma et al., Scientific Reports 16:9381 (2026): the task's
template without "Note".

Steps: render the instruction; nothing is chosen.

A call is spent on: one validation, for the record only, and the evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import FixedPrompt, Predictor
from asyndbt.prompt import TunedPrompt


@dataclass(frozen=True, slots=True)
class Manual(PerSiteBaseline):
    """The plain prompt."""

    name: ClassVar[str] = "manual"
    needs_calls: ClassVar[bool] = False

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Take the template unchanged."""
        return FixedPrompt(TunedPrompt(site.task)), 0
