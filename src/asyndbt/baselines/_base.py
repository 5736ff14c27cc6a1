"""What all baselines share: tune at every site, evaluate once, record.

Splits, demonstration slots, vocabulary, gateway, budget and ledger are those of AsynDBT. Validation
and the final evaluation have a reserve in the budget; the rest is for tuning. The test split is
used only after every site has finished tuning.

A baseline writes no checkpoint: an interrupted run repeats its steps with the paid answers and ends
with the same result.
"""

from __future__ import annotations

import asyncio
import zlib
from abc import abstractmethod
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from asyndbt.baselines._predictors import Predictor
from asyndbt.config import Config
from asyndbt.federation import EvaluateDone, Plan, validation_event
from asyndbt.prompt import examples_in
from asyndbt.run import Method, Outcome, RunSite, Session
from asyndbt.scoring import PromptObjective, Score, SitePrompts
from asyndbt.task import Example, Task

_DONE = "done"
"""Stop reason; "budget" would mean that a larger budget can be spent by resuming."""


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


class Baseline(Method):
    """A method to compare AsynDBT with."""

    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations")
    """Values of ``method.mode`` that it supports; with others, the mode is ``both``."""
    tunes_fragment: ClassVar[bool] = False
    """Whether it chooses entries of the vocabulary."""

    @abstractmethod
    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Spend the budget for tuning, and return what was found."""

    def configure(self, config: Config) -> Config:
        """Keep the data at their sites, and the mode among those supported."""
        changes: dict[str, Any] = {}
        if config.method.centralised:
            changes["method.centralised"] = None
        if config.method.mode not in self.modes:
            changes["method.mode"] = None
        if not self.tunes_fragment and config.method.vocabulary == "propose":
            # Hints would be paid for in vain.
            changes["method.vocabulary"] = None
        return config.override(changes) if changes else config

    async def run(self, session: Session) -> Outcome:
        """Tune, validate once, and evaluate when every site has finished tuning."""
        config = session.config
        session.begin(
            method=self.name,
            sites=session.setup.example_counts(),
            model=config.lm.title,
            seed=config.run.seed,
        )
        sites = {
            name: BaselineSite(name, objective_of(site), session.setup.plan, session)
            for name, site in session.setup.sites.items()
        }
        found = await self.tune(sites)
        scores = await asyncio.gather(
            *(found.predictors[name].validate(site.objective) for name, site in sites.items())
        )
        validations = dict(zip(sites, scores, strict=True))
        for name, score in validations.items():
            sites[name].note(found.iterations, validation=score)
        session.tell("phase", session.clock(), phase="evaluating", stop_reason=_DONE)
        tests = await asyncio.gather(
            *(
                found.predictors[name].test(site.objective, site.rng("test"))
                for name, site in sites.items()
            )
        )
        evaluations = {
            name: EvaluateDone(
                site=name,
                id=0,
                spent=site.objective.spent(),
                plain=test.plain,
                random_icl=test.random_icl,
                tuned=test.tuned,
                validation=validations[name],
                kept_own=False,
            )
            for (name, site), test in zip(sites.items(), tests, strict=True)
        }
        return Outcome(
            evaluations,
            stop_reason=_DONE,
            iterations=found.iterations,
            fragment=found.fragment,
            prompts={
                name: partial(found.predictors[name].write, prior=test.prior)
                for name, test in zip(sites, tests, strict=True)
            },
            test_examples={name: site.objective.counts[2] for name, site in sites.items()},
        )


class PerSiteBaseline(Baseline):
    """A baseline that every site runs on its own."""

    @abstractmethod
    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Return what was found at a site, and after how many iterations."""

    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Tune at all sites in parallel."""
        outcomes = await asyncio.gather(*(self.tune_site(site) for site in sites.values()))
        predictors = dict(zip(sites, (predictor for predictor, _ in outcomes), strict=True))
        return TuningOutcome(predictors, max((count for _, count in outcomes), default=0))


_MOST = 10**7


@dataclass(frozen=True, slots=True)
class BaselineSite:
    """One site's split, demonstration slots, vocabulary, gateway and budget.

    Parameters
    ----------
    objective : PromptObjective
        Its budget has a reserve for validations and the final evaluation.
    plan : Plan
        AsynDBT's plan: sizes, settings, steps.
    """

    name: str
    objective: PromptObjective
    plan: Plan
    session: Session

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.session.config.run.seed

    @property
    def prompts(self) -> SitePrompts:
        """The site's material for prompts."""
        return self.objective.prompts

    @property
    def task(self) -> Task:
        """The task."""
        return self.prompts.task

    @property
    def candidates(self) -> tuple[Example, ...]:
        """All examples that the demonstration slots choose from."""
        slots = self.prompts.slots
        return tuple(dict.fromkeys(example for slot in slots for example in examples_in(slot)))

    @property
    def most_prompts(self) -> int:
        """Most prompts of AsynDBT's plan, whatever the budget."""
        settings = self.plan.settings
        steps = self.plan.iterations * self.plan.local_steps
        return min(_MOST, steps * settings.draws * settings.batch_size)

    @property
    def allowance(self) -> int:
        """Queries that the budget for tuning still covers with one prompt; 1 or more."""
        affords = self.objective.affords_step
        counts = range(2, self.most_prompts + 1)
        return 1 + bisect(counts, False, key=lambda queries: not affords(1, queries))

    def note(
        self, iteration: int, train_loss: float | None = None, validation: Score | None = None
    ) -> None:
        """Log a step at this site; `train_loss` is of the prompts just tried, nats."""
        setup = self.session.setup
        calls = {name: site.worker.objective.spent().calls for name, site in setup.sites.items()}
        scored = validation is not None and validation.n > 0
        self.session.tell(
            "step",
            self.session.clock(),
            iteration=iteration,
            active=[self.name],
            loss={} if train_loss is None else {self.name: float(train_loss)},
            validation={self.name: validation_event(validation)} if validation and scored else {},
            staleness={},
            gone=[],
            entropy_p=0.0,
            entropy_q={},
            planes=0,
            consensus_distance=0.0,
            calls=calls,
            phase="tuning",
            calls_total=sum(calls.values()),
            calls_limit=setup.tuning_limit("calls"),
            seconds_left=None,
        )

    def integer(self, purpose: str) -> int:
        """Return a seed below 2^31 for a purpose."""
        return int(self.rng(purpose).integers(1 << 31))

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator seeded by the run's seed, the site and the purpose."""
        names = (zlib.crc32(text.encode()) for text in (self.name, purpose))
        return np.random.default_rng([self.seed, *names])


def objective_of(site: RunSite) -> PromptObjective:
    """Return the objective of a run's site."""
    objective = site.worker.objective
    assert isinstance(objective, PromptObjective)
    return objective
