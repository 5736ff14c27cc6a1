"""The manual prompt: the instruction as somebody wrote it, without demonstrations or fragment.

Source: the reference "manual prompt" of Ma et al., Scientific Reports 16:9381 (2026): the task's
template without "Note".

Steps: render the instruction; nothing is chosen.

A call is spent on: one look at the validation split, for the record alone, and the evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asyndbt.baselines.baseline import Local
from asyndbt.baselines.predictor import FixedPrompt, Predictor
from asyndbt.baselines.site import Site
from asyndbt.prompt import TunedPrompt

__all__ = ["Manual"]


@dataclass(frozen=True, slots=True)
class Manual(Local):
    """The plain prompt."""

    name: ClassVar[str] = "manual"

    async def tune_site(self, site: Site) -> tuple[Predictor, int]:
        """Take the template as it is."""
        return FixedPrompt(TunedPrompt(site.task)), 0
