"""Random search over words and demonstrations together.

Source: Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.

Steps: draw prompts uniformly, each tried on one minibatch of training queries, until the budget for
tuning is used; score the best on the validation split; take the least validation loss.

Departures: none; the source leaves open how a noisy trial is confirmed.

A call is spent on: one prompt about one training query; the looks at the validation split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import Predictor
from asyndbt.baselines._search import RandomProposer, run_search


@dataclass(frozen=True, slots=True)
class RandomSearch(PerSiteBaseline):
    """Uniform prompts, the best confirmed.

    Parameters
    ----------
    batch : int
        Training queries that each prompt is tried on.
    """

    batch: int = 10
    name: ClassVar[str] = "random-search"
    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations", "fragment")

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Search."""
        proposer = RandomProposer(site.prompts.shape, site.integer("proposals"))
        return await run_search(site, proposer, self.batch)
