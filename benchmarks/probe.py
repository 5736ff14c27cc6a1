"""A look at a site's held-out rows that no ledger counts and that decides nothing.

Not a benchmark itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from asyndbt.baselines import Pair, objective_of
from asyndbt.lm import AnswerCache, Budget, Gateway, Limits, Usage
from asyndbt.run import RunSite
from asyndbt.scoring import Needs, PromptObjective, Score, SitePrompts

__all__ = ["Probe"]


class Probe:
    """One split of a site behind a second gateway, without limits and with answers of its own.

    Parameters
    ----------
    site : RunSite
    split : {"test", "validation"}
    """

    def __init__(self, site: RunSite, split: Literal["test", "validation"] = "test") -> None:
        objective = objective_of(site)
        prompts = objective.prompts
        data = replace(prompts.data, validation=getattr(prompts.data, split), test=())
        gateway = Gateway(objective.gateway.model, AnswerCache(":memory:"), Budget(Limits()))
        rows = len(data.validation)
        nothing = Needs(prompt=Usage(), validation_rows=rows, looks=0)
        self._tuned = PromptObjective(replace(prompts, data=data), gateway, nothing)
        self._plain = PromptObjective(SitePrompts(prompts.task, data, (), (), 0), gateway, nothing)

    async def score(self, pair: Pair) -> Score:
        """Score a prompt: word indices (M,) and demonstration indices (U,)."""
        return await self._tuned.validate(*pair)

    async def accuracy(self, pair: Pair) -> float:
        """Accuracy of a prompt, in per cent."""
        return percent(await self.score(pair))

    async def plain(self) -> float:
        """Accuracy of the plain prompt, in per cent."""
        empty = np.empty(0, dtype=np.int64)
        return percent(await self._plain.validate(empty, empty))


def percent(score: Score) -> float:
    """Share of right answers."""
    return 100 * score.correct / score.n
