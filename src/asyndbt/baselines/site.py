"""A site as a baseline sees it: what run_config would tune there, and nothing more."""

from __future__ import annotations

import zlib
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asyndbt.baselines.progress import Progress
from asyndbt.federation import Plan, PromptObjective, SitePrompts
from asyndbt.run.assembly import Assembly, RunSite
from asyndbt.task import Example, Task

__all__ = ["Site", "objective_of", "sites_of"]

_MOST = 10**7


@dataclass(frozen=True, slots=True)
class Site:
    """One site's split, demonstration slots, vocabulary, gateway and budget.

    Parameters
    ----------
    name : str
    objective : PromptObjective
        Behind it is the gateway; its budget keeps back what the looks at the validation split and
        the final evaluation need.
    plan : Plan
        What AsynDBT would do here: sizes, settings, steps.
    seed : int
        Of the run.
    progress : Progress
    """

    name: str
    objective: PromptObjective
    plan: Plan
    seed: int
    progress: Progress

    @property
    def prompts(self) -> SitePrompts:
        """What the site's prompts are made of."""
        return self.objective.prompts

    @property
    def task(self) -> Task:
        """The task."""
        return self.prompts.task

    @property
    def candidates(self) -> tuple[Example, ...]:
        """Examples that may be shown: all candidates of all demonstration slots."""
        return tuple(dict.fromkeys(example for slot in self.prompts.slots for example in slot))

    @property
    def most_prompts(self) -> int:
        """Prompts that AsynDBT would ask for at most, whatever the budget says."""
        settings = self.plan.settings
        steps = self.plan.iterations * self.plan.local_steps
        return min(_MOST, steps * settings.draws * settings.batch_size)

    @property
    def allowance(self) -> int:
        """Prompts that may surely still be asked for tuning; at least 1."""
        affords = self.objective.affords_step
        counts = range(2, self.most_prompts + 1)
        return 1 + bisect(counts, False, key=lambda prompts: not affords(prompts))

    def entropy(self, purpose: str) -> Sequence[int]:
        """Return a seed that depends on the run's, the site and the purpose."""
        return [self.seed, zlib.crc32(self.name.encode()), zlib.crc32(purpose.encode())]

    def integer(self, purpose: str) -> int:
        """Return a seed for what takes one number, below 2^31."""
        return int(self.rng(purpose).integers(1 << 31))

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the generator for a purpose."""
        return np.random.default_rng(self.entropy(purpose))


def sites_of(assembly: Assembly, seed: int, progress: Progress) -> dict[str, Site]:
    """Return the sites of an assembly by name."""
    return {
        name: Site(name, objective_of(site), assembly.plan, seed, progress)
        for name, site in assembly.sites.items()
    }


def objective_of(site: RunSite) -> PromptObjective:
    """Return the objective of a site that was assembled for a run."""
    objective = site.worker.objective
    assert isinstance(objective, PromptObjective)
    return objective
