"""What a run will cost, found by playing it through with answers that nobody was asked for.

The play uses the code of the run itself: the same plan, coordinator, workers, budget and ledger on
a virtual clock. Only the model is a stand-in (`asyndbt.run._estimate`) that answers for nothing and
costs what the real one would, and losses come out of a table of chance in which some words and
demonstrations are better, so that the policies settle, and prompts repeat themselves, about as they
will.

What plays the language model when a run is played through: nobody is asked, nothing is paid.

The first prompts of a site go the whole way through its gateway.  Of the later ones it is only
counted which are new, by what was drawn for them, and a few of every step are rendered to tell what
the others cost.  So policies, budgets and repeats are played to the end of a long run too.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from asyndbt._async import run_sync
from asyndbt.config import Config
from asyndbt.errors import BudgetError
from asyndbt.federation import Coordinator, PromptObjective, Spent
from asyndbt.federation.engines import Delays, Engine, LocalEngine, VirtualEngine
from asyndbt.lm import Answer, LanguageModel, Probe, Prompt, Usage
from asyndbt.optim import FloatArray, IntArray
from asyndbt.run._directory import RunDirectory
from asyndbt.run._inputs import RunInputs, load_inputs
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._setup import RunSetup, build_setup, check_budget

__all__ = ["Estimate", "SimulatedModel", "SimulatedObjective", "can_begin", "estimate_run"]

_TIMED: Final = 16
_ASSUMED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will cost.

    Parameters
    ----------
    usage : Usage
        Requests, tokens and money of all sites.
    evaluation : int
        How many of the requests are the final evaluation, at most.
    seconds : float
        Time that the requests take.
    seconds_per_request : float
        What was reckoned with: measured for a local model, assumed for an endpoint.
    steps : int
        Steps of the site that takes fewest.
    stop_reason : str
        What will probably end the tuning.
    priced : bool
        Whether the money of `usage` says anything.
    free : bool
        Whether the model computes on this machine.
    """

    usage: Usage
    evaluation: int
    seconds: float
    seconds_per_request: float
    steps: int
    stop_reason: str
    priced: bool
    free: bool


def estimate_run(
    config: Config, seconds_per_request: float | None = None, *, probe: bool = False
) -> Estimate:
    """Find out what a run will cost.

    Parameters
    ----------
    config : Config
    seconds_per_request : float, optional
        Of an endpoint; if it is left out, as the probe found, or else a second. A local model is
        timed on a few prompts.
    probe : bool
        Whether to ask the model a few times what it can do, as the run will: how many tokens a
        prompt has, an endpoint alone knows.

    Raises
    ------
    AsyndbtError
        Whatever would keep the run from starting.
    """
    gathered = load_inputs(config)
    connection = ModelHandle.of(config.lm)
    model = connection.model
    examples = gathered.check(model)
    if probe:
        connection.probe(examples, gathered.task.label_words)
    each = seconds_per_request or connection.found.facts.get("seconds_per_request")
    if each is None:
        each = _ASSUMED_SECONDS if model.metered else _timed(model, gathered, examples)
    together = connection.pace.limiter.most if model.metered else model.batch
    stand_in = SimulatedModel(model, together)
    with TemporaryDirectory(prefix="asyndbt-estimate-") as folder:
        assembly = build_setup(
            config.override({"lm.cache": None}) if config.lm.cache else config,
            gathered,
            ModelHandle(stand_in, connection.pace, Probe()),
            RunDirectory(Path(folder)),
            objective=SimulatedObjective,
        )
        try:
            coordinator = run_sync(_play(assembly, config, model.metered))
        finally:
            for site in assembly.sites.values():
                site.close()
    return Estimate(
        usage=stand_in.spent + connection.found.usage,
        evaluation=_evaluation(config, gathered),
        seconds=_seconds(config, model, stand_in, len(assembly.sites), each),
        seconds_per_request=each,
        steps=min(site.worker.learner.steps for site in assembly.sites.values()),
        stop_reason=coordinator.stop_reason,
        priced=model.priced,
        free=not model.metered,
    )


def can_begin(config: Config) -> bool:
    """Whether a run's budget covers the looks, one step and the evaluation; nothing is asked."""
    gathered = load_inputs(config)
    found = ModelHandle.of(config.lm)
    gathered.check(found.model)
    stand_in = SimulatedModel(found.model, 1)
    try:
        check_budget(config, gathered, ModelHandle(stand_in, found.pace, Probe()))
    except BudgetError:
        return False
    return True


async def _play(assembly: RunSetup, config: Config, metered: bool) -> Coordinator:
    """Run the simulation: endpoints answer after delays, a local model serves sites in turn."""
    coordinator = Coordinator(assembly.plan)
    workers = {name: site.worker for name, site in assembly.sites.items()}
    delays = config.federation.delays
    engine: Engine
    if delays is None and not metered:
        engine = LocalEngine(coordinator, workers)
    else:
        given: dict[str, Any] = delays.model_dump(exclude_none=True) if delays else {}
        engine = VirtualEngine(coordinator, workers, Delays(**given, seed=config.run.seed))
    await engine.run(lambda now: None)
    return coordinator


def _timed(model: LanguageModel, gathered: RunInputs, examples: Sequence[Prompt]) -> float:
    """Seconds per prompt of a local model, which asks nobody."""
    batch = [examples[index % len(examples)] for index in range(_TIMED)]
    labels = gathered.task.label_words
    run_sync(model.score(batch, labels))
    start = time.perf_counter()
    run_sync(model.score(batch, labels))
    return (time.perf_counter() - start) / _TIMED


def _evaluation(config: Config, gathered: RunInputs) -> int:
    shown = config.method.mode != "fragment"
    kinds = 2 + (config.method.random_icl_draws if shown else 0)
    return kinds * sum(len(site.data.test) for site in gathered.sites.values())


def _seconds(
    config: Config, model: LanguageModel, stand_in: SimulatedModel, sites: int, each: float
) -> float:
    """Time of the requests: in rounds of those that go together, and under the caps a minute."""
    spent, lm = stand_in.spent, config.lm
    if not model.metered:
        return spent.calls * each
    times = [
        each * spent.calls / lm.max_concurrency,
        # Sites go side by side, the rounds of a site one after another.
        each * stand_in.rounds / sites,
    ]
    if lm.requests_per_minute:
        times.append(60 * spent.calls / lm.requests_per_minute)
    if lm.tokens_per_minute:
        times.append(60 * spent.tokens / lm.tokens_per_minute)
    return max(times)


_MARGIN: Final = 1.3
_EFFECT: Final = 0.045
_CHANCE: Final = 0.15
"""Standard deviations, in the logarithm of a loss, of a word's effect and of what depends on the
query: such that the policies of the demo tasks settle as fast as with the real losses."""
_WHOLE: Final = 2_000
"""Prompts of a site that go the whole way."""
_SAMPLE: Final = 4
"""Prompts of a later step that are rendered."""

_Drawn = tuple[IntArray, IntArray, int]
"""Words, demonstrations and query of a prompt."""


class SimulatedModel:
    """Answers for nothing, and costs what a real model would.

    Parameters
    ----------
    model : LanguageModel
    batch : int
        Prompts that go together.

    Attributes
    ----------
    rounds : int
        Batches so far.
    spent : Usage
        What the answers so far would have cost.
    """

    def __init__(self, model: LanguageModel, batch: int) -> None:
        self._model = model
        self.batch = batch
        self.name = f"stand-in for {model.name}"
        self.metered = False
        self.priced = model.priced
        self.expect = model.expect
        self.check, self.adopt, self.close = model.check, model.adopt, model.close
        self.rounds = 0
        self.spent = Usage()

    def estimate(self, prompt: Prompt) -> Usage:
        """Bound what a request costs as the real one will when it has been probed."""
        if not self._model.metered:
            return self._model.estimate(prompt)
        bound, likely = self._model.estimate(prompt), self.expect(prompt)
        return Usage(
            1,
            min(bound.tokens_in, round(_MARGIN * likely.tokens_in)),
            min(bound.tokens_out, round(_MARGIN * likely.tokens_out)),
            min(bound.money, _MARGIN * likely.money),
        )

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Probe:
        """Ask nothing."""
        return Probe()

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt alike."""
        scores = tuple(float(-index) for index in range(len(labels)))
        answers = [Answer(scores, labels[0], self.expect(prompt)) for prompt in prompts]
        self.count(sum((answer.usage for answer in answers), Usage()))
        return list(answers)

    def count(self, usage: Usage) -> None:
        """Take note of requests that go together as far as they can."""
        self.rounds += math.ceil(usage.calls / self.batch)
        self.spent += usage


class SimulatedObjective(PromptObjective):
    """A site that asks as the real one does; its losses come out of a table of chance."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen: dict[bytes, set[int]] = defaultdict(set)
        self._asked = 0
        self._counted = Usage()

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Return losses (I, B) that are a sum over the words, demonstrations and queries drawn."""
        new = self._new(words, demonstrations, queries)
        if self._asked < _WHOLE:
            await super().losses(words, demonstrations, queries)
        elif new:
            self._count(new)
        self._asked += len(words) * len(queries)
        of_words, of_demonstrations, of_queries = self._tables
        drawn = of_words[np.arange(self.shape.positions), words].sum(axis=1)
        shown = of_demonstrations[np.arange(self.shape.slots), demonstrations].sum(axis=1)
        of_pairs = np.sin(np.hstack([words, demonstrations]) * np.pi**2) @ of_queries[:, queries]
        losses: FloatArray = np.exp((drawn + shown)[:, None] + of_pairs)
        return losses

    def spent(self) -> Spent:
        """Figures of the ledger, and of what was only counted."""
        ledger, counted = super().spent(), self._counted
        return replace(
            ledger,
            calls=ledger.calls + counted.calls,
            tokens_in=ledger.tokens_in + counted.tokens_in,
            tokens_out=ledger.tokens_out + counted.tokens_out,
            money=ledger.money + counted.money,
        )

    def _new(self, words: IntArray, demonstrations: IntArray, queries: IntArray) -> list[_Drawn]:
        """Return what was never drawn before, and remember it."""
        new: list[_Drawn] = []
        asked = list(dict.fromkeys(queries.tolist()))
        for w, d in zip(words, demonstrations, strict=True):
            seen = self._seen[w.tobytes() + d.tobytes()]
            new += [(w, d, query) for query in asked if query not in seen]
            seen.update(asked)
        return new

    def _count(self, new: Sequence[_Drawn]) -> None:
        """Charge for prompts what some of them would cost."""
        model, train = self.gateway.model, self.prompts.data.train
        assert isinstance(model, SimulatedModel)
        sample = [
            model.expect(prompt)
            for w, d, query in new[:: math.ceil(len(new) / _SAMPLE)]
            for prompt in self.prompts.prompts(w, d, [train[query]])
        ]
        found, factor = sum(sample, Usage()), len(new) / len(sample)
        usage = Usage(
            len(new),
            round(found.tokens_in * factor),
            round(found.tokens_out * factor),
            found.money * factor,
        )
        model.count(usage)
        self.gateway.budget.charge(usage)
        self._counted += usage

    @cached_property
    def _tables(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Effects of the words, of the demonstrations, and of the queries beside them."""
        shape, rng = self.shape, np.random.default_rng(0)
        return (
            rng.normal(0.0, _EFFECT, (shape.positions, shape.words)),
            rng.normal(0.0, _EFFECT, (shape.slots, shape.candidates)),
            rng.normal(0.0, _CHANCE, (shape.positions + shape.slots, self.counts[0])),
        )
