"""What all baselines share: tune at every site, evaluate once, record.

The same splits, demonstration slots, vocabulary, gateway, budget and ledger as a run of AsynDBT. Of
the budget, validation and the final evaluation are kept back until their time comes; the rest is
for tuning. The test split is asked about when every site has finished tuning, and never before.

A baseline writes no checkpoint: a run that was interrupted repeats its steps with the answers that
were paid for, and ends as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import zlib
from abc import abstractmethod
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from asyndbt.baselines._predictors import Predictor
from asyndbt.config import Config
from asyndbt.federation import (
    EvaluateDone,
    Plan,
    PromptObjective,
    Score,
    SitePrompts,
    validation_event,
)
from asyndbt.run import Method, Outcome, RunSite, Session
from asyndbt.task import Example, Task

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


class Baseline(Method):
    """A method that AsynDBT is compared with."""

    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations")
    """Values of ``method.mode`` that it works under; under others, the mode is ``both``."""

    @abstractmethod
    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Spend what the budget leaves for tuning, and return what was found."""

    def configure(self, config: Config) -> Config:
        """Return the configuration that the method is run on: data at their sites."""
        changes: dict[str, Any] = {}
        if config.method.centralised:
            changes["method.centralised"] = None
        if config.method.mode not in self.modes:
            changes["method.mode"] = None
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
        sites = sites_of(session)
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
            )
            for (name, site), test in zip(sites.items(), tests, strict=True)
        }
        return Outcome(
            evaluations,
            stop_reason=_DONE,
            iterations=found.iterations,
            fragment=found.fragment,
            prompts={name: found.predictors[name].write for name in sites},
        )


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
    session : Session
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

    def note(
        self, iteration: int, train_loss: float | None = None, validation: Score | None = None
    ) -> None:
        """Record a step of the method at this site.

        Parameters
        ----------
        iteration : int
        train_loss : float, optional
            Nats, of the prompts just tried.
        validation : Score, optional
        """
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

    def entropy(self, purpose: str) -> Sequence[int]:
        """Return a seed that depends on the run's, the site and the purpose."""
        return [self.seed, zlib.crc32(self.name.encode()), zlib.crc32(purpose.encode())]

    def integer(self, purpose: str) -> int:
        """Return a seed for what takes one number, below 2^31."""
        return int(self.rng(purpose).integers(1 << 31))

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the generator for a purpose."""
        return np.random.default_rng(self.entropy(purpose))


def sites_of(session: Session) -> dict[str, BaselineSite]:
    """Return the sites of a session by name."""
    setup = session.setup
    return {
        name: BaselineSite(name, objective_of(site), setup.plan, session)
        for name, site in setup.sites.items()
    }


def objective_of(site: RunSite) -> PromptObjective:
    """Return the objective of a site that was assembled for a run."""
    objective = site.worker.objective
    assert isinstance(objective, PromptObjective)
    return objective
