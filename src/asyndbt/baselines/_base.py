"""The way that all baselines take: tune at every site, evaluate once, write it down.

The same splits, demonstration slots, vocabulary, gateway, budget and ledger as a run of AsynDBT,
for `asyndbt.run._setup` prepares them all. Of the budget, the looks at the validation split and
the final evaluation are kept back until their time comes; the rest is for tuning. The test split is
asked about when every site has finished tuning, and never before.

A run that was broken off left no ``config.toml``; started again in the same directory, it finds the
answers that were paid for, repeats its steps with them, and ends as if nothing had happened.

A site as a baseline sees it: what run_config would tune there, and nothing more.
"""

from __future__ import annotations

import asyncio
import zlib
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from asyndbt._async import run_sync
from asyndbt.baselines._predictors import Predictor
from asyndbt.config import Config
from asyndbt.federation import EvaluateDone, Plan, PromptObjective, SitePrompts
from asyndbt.lm import LanguageModel
from asyndbt.run import (
    Observer,
    Progress,
    Result,
    RunDirectory,
    RunSetup,
    RunSite,
    measured,
    prepare_run,
    to_json,
    write_atomically,
)
from asyndbt.task import Example, Task

__all__ = [
    "Baseline",
    "BaselineSite",
    "PerSiteBaseline",
    "TuningOutcome",
    "objective_of",
    "sites_of",
]

_DONE = "done"
"""Why it ended; not "budget", which would say that more of it could be spent by resuming."""


@dataclass(frozen=True, slots=True)
class TuningOutcome:
    """What a method has found.

    Parameters
    ----------
    predictors : mapping of str to Predictor
        By site.
    iterations : int
        Most that a site, or the server, has done.
    fragment : tuple of str
        Words that all sites share, if they do.
    """

    predictors: Mapping[str, Predictor]
    iterations: int = 0
    fragment: tuple[str, ...] = ()


class Baseline(ABC):
    """A method that a run of AsynDBT is compared with."""

    name: ClassVar[str]
    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations")
    """Values of ``method.mode`` that it works under; under others, the mode is ``both``."""

    @abstractmethod
    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Spend what the budget leaves for tuning, and say what was found."""

    def configured(self, config: Config) -> Config:
        """Return the configuration that the method is carried out on: data at their sites."""
        changes: dict[str, Any] = {}
        if config.method.centralised:
            changes["method.centralised"] = None
        if config.method.mode not in self.modes:
            changes["method.mode"] = None
        return config.override(changes) if changes else config

    def run(
        self, config: Config, observers: Sequence[Observer], model: LanguageModel | None
    ) -> Result:
        """Carry the method out, as `asyndbt.run.run_config` carries out AsynDBT."""
        config = self.configured(config)
        directory = RunDirectory(config.run.dir)
        directory.check_unused()
        with ExitStack() as files:
            assembly = prepare_run(config, directory, model)
            for site in assembly.sites.values():
                files.callback(site.close)
            files.enter_context(directory.claimed())
            directory.write_json("model.json", assembly.connection.record())
            directory.cut_events(0)
            progress = Progress(directory, assembly, observers)
            progress.tell("start", **self._about(config, assembly, directory))
            with threadpool_limits(limits=1, user_api="blas"):
                work = self._work(config, assembly, progress)
                found, evaluations = run_sync(work)
            result = {
                **measured(config, assembly, evaluations),
                "method": self.name,
                "stop_reason": _DONE,
                "iterations": found.iterations,
                "fragment": list(found.fragment),
            }
            for name, site in assembly.sites.items():
                found.predictors[name].write(site.folder)
            write_atomically(directory.path / "curve.json", to_json(progress.curve))
            write_atomically(directory.config_file, config.to_toml().encode())
            directory.write_json("result.json", result)
            progress.tell("result", **result)
        return Result(directory.path)

    async def _work(
        self, config: Config, assembly: RunSetup, progress: Progress
    ) -> tuple[TuningOutcome, dict[str, EvaluateDone]]:
        sites = sites_of(assembly, config.run.seed, progress)
        try:
            found = await self.tune(sites)
            scores = await asyncio.gather(
                *(found.predictors[name].validate(site.objective) for name, site in sites.items())
            )
            looks = dict(zip(sites, scores, strict=True))
            for name, look in looks.items():
                progress.note(name, found.iterations, validation=look)
            progress.tell("phase", phase="evaluating", stop_reason=_DONE)
            tests = await asyncio.gather(
                *(
                    found.predictors[name].test(site.objective, site.rng("test"))
                    for name, site in sites.items()
                )
            )
        finally:
            await assembly.connection.model.close()
        evaluations = {
            name: EvaluateDone(
                site=name,
                id=0,
                spent=site.objective.spent(),
                plain=test.plain,
                random_icl=test.random_icl,
                tuned=test.tuned,
                validation=looks[name],
            )
            for (name, site), test in zip(sites.items(), tests, strict=True)
        }
        return found, evaluations

    def _about(self, config: Config, assembly: RunSetup, directory: RunDirectory) -> dict[str, Any]:
        parts = ("train", "validation", "test")
        counts = {
            name: dict(zip(parts, site.worker.objective.counts, strict=True))
            for name, site in assembly.sites.items()
        }
        return {
            "method": self.name,
            "directory": str(directory.path),
            "sites": counts,
            "model": config.lm.title,
            "seed": config.run.seed,
        }


class PerSiteBaseline(Baseline):
    """A baseline that every site carries out on its own."""

    @abstractmethod
    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Return what was found at a site, and after how many iterations."""

    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Tune at all sites, side by side."""
        outcomes = await asyncio.gather(*(self.tune_site(site) for site in sites.values()))
        predictors = dict(zip(sites, (predictor for predictor, _ in outcomes), strict=True))
        return TuningOutcome(predictors, max((count for _, count in outcomes), default=0))


_MOST = 10**7


@dataclass(frozen=True, slots=True)
class BaselineSite:
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


def sites_of(assembly: RunSetup, seed: int, progress: Progress) -> dict[str, BaselineSite]:
    """Return the sites of an assembly by name."""
    return {
        name: BaselineSite(name, objective_of(site), assembly.plan, seed, progress)
        for name, site in assembly.sites.items()
    }


def objective_of(site: RunSite) -> PromptObjective:
    """Return the objective of a site that was assembled for a run."""
    objective = site.worker.objective
    assert isinstance(objective, PromptObjective)
    return objective
