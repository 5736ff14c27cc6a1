"""Random search over words and demonstrations together.

Source: Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.

Steps: draw prompts uniformly, each tried on one minibatch of training queries, until the budget for
tuning is used; validate the best, and take the least validation loss.

Departures: none; the source leaves open how a noisy trial is confirmed.

A call is spent on: one prompt for one training query; validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import Predictor
from asyndbt.baselines._search import RandomProposer, run_search


@dataclass(frozen=True, slots=True)
class RandomSearch(PerSiteBaseline):
    """Uniform prompts, each tried on `batch` training queries; validation confirms the best."""

    batch: int = 10
    name: ClassVar[str] = "random-search"
    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations", "fragment")
    tunes_fragment: ClassVar[bool] = True

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Search."""
        proposer = RandomProposer(site.prompts.shape, site.integer("proposals"))
        return await run_search(site, proposer, self.batch)
