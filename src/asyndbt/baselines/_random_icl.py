"""Random in-context learning: demonstrations drawn at random.

Source: Brown et al., "Language models are few-shot learners", NeurIPS 2020; as used by Ma et al.,
Scientific Reports 16:9381 (2026): one demonstration per class.

Steps: draw one candidate for every demonstration slot, from the run's seed and the site's name.

Departures: none with ``demonstrations_per_class = 1``; other settings give the slots that AsynDBT
fills. The figure ``random_icl`` of every result is the mean over several such draws.

A call is spent on: one validation, for the record only, and the evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import FixedPrompt, Predictor


@dataclass(frozen=True, slots=True)
class RandomICL(PerSiteBaseline):
    """One random demonstration in every slot."""

    name: ClassVar[str] = "random-icl"
    needs_calls: ClassVar[bool] = False

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Draw the demonstrations."""
        shown = site.prompts.random_examples(site.rng("draw"))
        return FixedPrompt.of(site.prompts, np.empty(0, dtype=np.int64), shown), 0
