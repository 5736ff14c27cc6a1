"""The way that all baselines take: tune at every site, evaluate once, write it down.

The same splits, demonstration slots, vocabulary, gateway, budget and ledger as a run of AsynDBT,
for `asyndbt.run.assembly` prepares them all. Of the budget, the looks at the validation split and
the final evaluation are kept back until their time comes; the rest is for tuning. The test split is
asked about when every site has finished tuning, and never before.

A run that was broken off left no ``config.toml``; started again in the same directory, it finds the
answers that were paid for, repeats its steps with them, and ends as if nothing had happened.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from threadpoolctl import threadpool_limits

from asyndbt.baselines.predictor import Predictor
from asyndbt.baselines.progress import Progress
from asyndbt.baselines.site import Site, sites_of
from asyndbt.config import Config
from asyndbt.federation.messages import EvaluateDone
from asyndbt.lm import LanguageModel
from asyndbt.run import Observer, Result
from asyndbt.run.assembly import Assembly, assemble
from asyndbt.run.directory import RunDirectory, to_json, write_atomically
from asyndbt.run.loops import complete
from asyndbt.run.outcome import measured

__all__ = ["Baseline", "Found", "Local"]

_DONE = "done"
"""Why it ended; not "budget", which would say that more of it could be spent by resuming."""


@dataclass(frozen=True, slots=True)
class Found:
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
    async def tune(self, sites: Mapping[str, Site]) -> Found:
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
            assembly = assemble(config, directory, model)
            for site in assembly.sites.values():
                files.callback(site.close)
            files.enter_context(directory.claimed())
            directory.write_json("model.json", assembly.connection.record())
            directory.cut_events(0)
            progress = Progress(directory, assembly, observers)
            progress.tell("start", **self._about(config, assembly, directory))
            with threadpool_limits(limits=1, user_api="blas"):
                work = self._work(config, assembly, progress)
                found, evaluations = complete(work)
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
        self, config: Config, assembly: Assembly, progress: Progress
    ) -> tuple[Found, dict[str, EvaluateDone]]:
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

    def _about(self, config: Config, assembly: Assembly, directory: RunDirectory) -> dict[str, Any]:
        parts = ("train", "validation", "test")
        counts = {
            name: dict(zip(parts, site.worker.objective.counts, strict=True))
            for name, site in assembly.sites.items()
        }
        return {
            "method": self.name,
            "directory": str(directory.path),
            "sites": counts,
            "model": config.lm.model or config.lm.provider,
            "seed": config.run.seed,
        }


class Local(Baseline):
    """A baseline that every site carries out on its own."""

    @abstractmethod
    async def tune_site(self, site: Site) -> tuple[Predictor, int]:
        """Return what was found at a site, and after how many iterations."""

    async def tune(self, sites: Mapping[str, Site]) -> Found:
        """Tune at all sites, side by side."""
        outcomes = await asyncio.gather(*(self.tune_site(site) for site in sites.values()))
        predictors = dict(zip(sites, (predictor for predictor, _ in outcomes), strict=True))
        return Found(predictors, max((count for _, count in outcomes), default=0))
