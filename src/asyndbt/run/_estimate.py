"""The cost of a run, found by a simulation that sends no requests.

The simulation uses the run's own plan, coordinator, workers, budget and ledger on a virtual clock.
Only the language model and the losses are simulated. The model costs what the real one would. The
losses come from a random table in which some words and demonstrations are better than others, so
that policies converge, and prompts repeat, about as often as in the run.

The first prompts of a site pass through its gateway. Of later ones only the number of new prompts
is counted; a few of every step are rendered to estimate the cost of the others. This keeps long
runs quick to simulate.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from asyndbt._async import run_sync
from asyndbt.config import Config
from asyndbt.errors import BudgetError
from asyndbt.federation import Coordinator, Plan
from asyndbt.federation.engines import Delays, Engine, LocalEngine, VirtualEngine
from asyndbt.lm import LIMITED, Answer, AnswerCache, LanguageModel, Prompt, Usage
from asyndbt.optim import FloatArray, IntArray, make_estimator
from asyndbt.prompt import load_vocabulary
from asyndbt.run._directory import RunDirectory
from asyndbt.run._duration import BATCH, time_endpoint, time_local, total_seconds, under_way
from asyndbt.run._inputs import RunInputs, asks_for_hints, load_inputs
from asyndbt.run._judge import check_judge
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._setup import RunSetup, build_setup, check_budget, write_hints
from asyndbt.scoring import PromptObjective, SitePrompts, Spent
from asyndbt.task import Reward

_ASSUMED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests, tokens and money of all sites, and the time in seconds that they take."""

    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.usage + other.usage, self.seconds + other.seconds)

    def of(self, calls: float) -> Cost:
        """Return the cost of another number of calls, at the same cost per call."""
        usage = self.usage
        share = calls / max(1, usage.calls)
        tokens = (round(usage.tokens_in * share), round(usage.tokens_out * share))
        return Cost(Usage(round(calls), *tokens, usage.money * share), self.seconds * share)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will cost.

    Parameters
    ----------
    least : Cost
        Of the run that was simulated. A real one may go on where that one settled.
    most : Cost
        All that the budget and the iterations allow.
    evaluation : int
        Most requests of the final evaluation, included in both.
    seconds_per_request : float
        Measured for a local model and for an endpoint that was probed, else assumed.
    seconds_per_answer : float
        From one answer to the next while as many requests are under way as in the run.
    steps : int
        Fewest local steps of a site in the simulation.
    stop_reason : str
        What ended the simulation.
    priced : bool
        Whether the prices are known, so that the money is meaningful.
    free : bool
        Whether the model runs on this machine.
    warnings : tuple of str
        With which the run will begin.
    judgements : int
        Most requests to a judge, which are beside all others.
    """

    least: Cost
    most: Cost
    evaluation: int
    seconds_per_request: float
    seconds_per_answer: float
    steps: int
    stop_reason: str
    priced: bool
    free: bool
    warnings: tuple[str, ...]
    judgements: int = 0


def estimate_run(
    config: Config,
    seconds_per_request: float | None = None,
    *,
    probe: bool = False,
    needs_calls: bool = True,
) -> Estimate:
    """Estimate what a run will cost.

    Parameters
    ----------
    seconds_per_request : float, optional
        Of an endpoint, and none is timed then; by default one second if it is not probed.
    probe : bool
        Whether to send the few requests with which a run begins, as only an endpoint knows how
        many tokens a prompt has, and then, to time them, those that it sends at once in its first
        step. Their answers go into the file of ``lm.cache``, if there is one.
    needs_calls : bool
        Whether the method tunes by requests; if not, the budget may be that of the evaluation.

    Raises
    ------
    AsyndbtError
        Whatever would keep the run from starting.
    """
    inputs = load_inputs(config)
    check_judge(config, inputs)
    handle = ModelHandle.of(config.lm)
    model = handle.model
    examples = inputs.check(model)
    if probe:
        handle.detect_capabilities(examples, inputs.task.label_words)
    together = handle.policy.limiter.most if model.is_remote else model.batch
    simulated = SimulatedModel(model, together)
    with TemporaryDirectory(prefix="asyndbt-estimate-") as folder:
        asked_for = ModelHandle(simulated, handle.policy, ledger=handle.ledger)
        setup = _simulated_setup(config, inputs, asked_for, RunDirectory(Path(folder)), needs_calls)
        try:
            coordinator = run_sync(_play(setup, config, model.is_remote))
        finally:
            for site in setup.sites.values():
                site.close()
    sites = len(setup.sites)
    if seconds_per_request is None and (probe or not model.is_remote):
        each, pace = _speed(config, handle, simulated.asked, inputs.task.label_words, sites)
    else:
        each = seconds_per_request or _ASSUMED_SECONDS
        pace = each / handle.policy.limiter.most
    asked = handle.ledger.spent
    seconds = total_seconds(config.lm.options, simulated.spent, simulated.rounds, sites, each, pace)
    least = Cost(simulated.spent + asked, seconds)
    most = asked.calls + _most_calls(config, setup, simulated.spent)
    most = max(least.usage.calls, most)
    return Estimate(
        least=least,
        most=least.of(most),
        evaluation=sum(site.needs.evaluation.calls for site in setup.sites.values()),
        seconds_per_request=each,
        seconds_per_answer=pace,
        steps=min(site.worker.learner.steps for site in setup.sites.values()),
        stop_reason=coordinator.stop_reason,
        priced=model.has_prices,
        free=not model.is_remote,
        warnings=setup.warnings,
        judgements=0 if config.task.judge is None else round(most),
    )


def _simulated_setup(
    config: Config,
    inputs: RunInputs,
    handle: ModelHandle,
    directory: RunDirectory,
    needs_calls: bool,
) -> RunSetup:
    """Return the setup of a run with a simulated model, which writes the hints that it is to."""
    config = config.override(dict.fromkeys(_left_out(config)))
    inputs = replace(
        inputs, sites={name: _without_function(site) for name, site in inputs.sites.items()}
    )
    hints, model = None, handle.model
    if asks_for_hints(config):
        assert isinstance(model, SimulatedModel)
        hints = write_hints(config, inputs, handle, directory, needs_calls=needs_calls)
        inputs = inputs.with_vocabulary(hints.vocabulary)
        model.asked.clear()  # what is timed is what tuning asks
    return build_setup(
        config,
        inputs,
        handle,
        directory,
        objective=SimulatedObjective,
        needs_calls=needs_calls,
        hints=hints,
    )


def _without_function(prompts: SitePrompts) -> SitePrompts:
    """Return prompts without the user's reward function, which is not for made-up answers."""
    if prompts.task.reward is None:
        return prompts
    return replace(prompts, task=replace(prompts.task, reward=Reward("exact")))


def _most_calls(config: Config, setup: RunSetup, played: Usage) -> float:
    """Return the most calls that the budget and the iterations allow.

    How many a cap on tokens or money allows is told by the mean cost of a call in the simulation.
    """
    most = 0.0
    for site in setup.sites.values():
        needs = site.needs
        counts = [
            (cap + getattr(needs.evaluation, name)) * played.calls / used
            for name in LIMITED
            if (cap := site.tuning.cap(name)) is not None and (used := getattr(played, name))
        ]
        if config.method.iterations:
            looks = needs.looks + needs.validation_rows
            steps = _most_steps(setup.plan) * needs.step_prompts
            counts.append(needs.evaluation.calls + needs.hints.calls + looks + steps)
        most += min(counts)
    return most


def _most_steps(plan: Plan) -> int:
    """Return the local steps of a site, rounds of the lower level that cost as much included."""
    settings = plan.settings
    rounds = 0
    if settings.refresh_every and make_estimator(settings).needs_fresh_draws:
        refreshes = min(plan.iterations, settings.refresh_until) // settings.refresh_every
        rounds = refreshes * settings.lower_rounds
    return plan.iterations * plan.local_steps + rounds


def _left_out(config: Config) -> list[str]:
    """Return settings that a simulation does without: answers at hand, and early stopping.

    Simulated validation scores do not fall: they would stop every run as early as can be.
    """
    cache = ["lm.cache"] if config.lm.cache else []
    return [*cache, *(["method.patience"] if config.method.patience else [])]


def can_begin(config: Config, *, needs_calls: bool = True) -> bool:
    """Whether a run's budget covers what it needs at least; sends no request.

    That is the evaluation and, if tuning `needs_calls`, a step and a look at every validation.
    """
    inputs = load_inputs(config)
    handle = ModelHandle.of(config.lm)
    inputs.check(handle.model)
    try:
        simulated = SimulatedModel(handle.model, 1)
        check_budget(config, inputs, ModelHandle(simulated, handle.policy), needs_calls)
    except BudgetError:
        return False
    return True


async def _play(setup: RunSetup, config: Config, is_remote: bool) -> Coordinator:
    """Run the simulation: endpoints answer after delays, a local model serves sites in turn."""
    coordinator = Coordinator(setup.plan)
    workers = {name: site.worker for name, site in setup.sites.items()}
    delays = config.federation.delays
    engine: Engine
    if delays is None and not is_remote:
        engine = LocalEngine(coordinator, workers)
    else:
        engine = VirtualEngine(coordinator, workers, delays or Delays(), seed=config.run.seed)
    await engine.run(lambda now: None)
    return coordinator


def _speed(
    config: Config, handle: ModelHandle, asked: Sequence[Prompt], labels: Sequence[str], sites: int
) -> tuple[float, float]:
    """Time what a run asks first: return the seconds of a request, and from answer to answer."""
    first = asked[: under_way(config.method.settings(), handle, sites)]
    if not handle.model.is_remote:
        each = time_local(handle.model, first, labels)
        return each, each
    with AnswerCache(config.lm.cache or ":memory:", "estimate") as cache:
        pace = time_endpoint(handle, first, labels, cache=cache)
    each = handle.facts.get("seconds_per_request", pace or _ASSUMED_SECONDS)
    return each, each / handle.policy.limiter.most if pace is None else pace


_MARGIN: Final = 1.3
_MADE_UP_LINES: Final = 20
_EFFECT: Final = 0.045
_CHANCE: Final = 0.15
"""Standard deviations, in the logarithm of a loss, of a word's effect and of its interaction with
the query: such that policies converge on the demo tasks as fast as with the real losses."""
_WHOLE: Final = 2_000
"""Prompts of a site that pass through its gateway."""
_SAMPLE: Final = 4
"""Prompts of a later step that are rendered."""

_Drawn = tuple[IntArray, IntArray, int]
"""Words, demonstrations and query of a prompt."""


class SimulatedModel(LanguageModel):
    """Answers without requests, and costs what a real model would.

    Parameters
    ----------
    batch : int
        Prompts of one round.

    Attributes
    ----------
    asked : list of Prompt
        The first prompts that were asked, `BATCH` at most.
    """

    def __init__(self, model: LanguageModel, batch: int) -> None:
        self._model = model
        self.feedback, self.options = model.feedback, model.options
        self.batch, self.writes = batch, model.writes
        self.rounds = 0
        self.asked: list[Prompt] = []
        self.spent = Usage()

    @property
    def name(self) -> str:
        """Not the real model's, so that its cached answers are not used."""
        return f"stand-in for {self._model.name}"

    @property
    def has_prices(self) -> bool:
        """As the real model."""
        return self._model.has_prices

    def warnings(
        self, texts: Sequence[Sequence[str]], vocabulary: Sequence[str] = ()
    ) -> Sequence[str]:
        """As the real model."""
        return self._model.warnings(texts, vocabulary)

    def expected_usage(self, prompt: Prompt) -> Usage:
        """As the real model."""
        return self._model.expected_usage(prompt)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """As the real model."""
        self._model.check(prompts, labels)

    def max_usage(self, prompt: Prompt) -> Usage:
        """Bound the cost of a request as the real model will after its probe."""
        bound = self._model.max_usage(prompt)
        if not self._model.is_remote:
            return bound
        likely = self.expected_usage(prompt)
        return Usage(
            1,
            min(bound.tokens_in, round(_MARGIN * likely.tokens_in)),
            min(bound.tokens_out, round(_MARGIN * likely.tokens_out)),
            min(bound.money, _MARGIN * likely.money),
        )

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Give every prompt the same answer."""
        self.asked += prompts[: BATCH - len(self.asked)]
        scores = tuple(float(-index) for index in range(len(labels)))
        answers = [
            Answer(scores, _made_up_text(prompt, labels), self.expected_usage(prompt))
            for prompt in prompts
        ]
        self.count(sum((answer.usage for answer in answers), Usage()))
        return list(answers)

    def count(self, usage: Usage) -> None:
        """Add requests, grouped into as few rounds as possible."""
        self.rounds += math.ceil(usage.calls / self.batch)
        self.spent += usage


def _made_up_text(prompt: Prompt, labels: Sequence[str]) -> str:
    """Return a label, an answer, or lines of words that every prompt has others of."""
    if prompt.most_tokens is None:
        return labels[0] if labels else "an answer"
    rng = np.random.default_rng(zlib.crc32(prompt.text.encode("utf-8", "replace")))
    lines = rng.choice(load_vocabulary("builtin", Path()), size=(_MADE_UP_LINES, 8))
    return "\n".join(map(" ".join, lines))


class SimulatedObjective(PromptObjective):
    """Sends the requests of a real site; its losses come from a random table."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen: dict[bytes, set[int]] = defaultdict(set)
        self._asked = 0
        self._counted = Usage()

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Return losses (I, B): sums of effects of words, demonstrations and queries."""
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

    async def _look_at(
        self, words: IntArray, demonstrations: IntArray, start: int, stop: int
    ) -> FloatArray:
        """Count prompts about training queries as `losses` does."""
        known = len(self.prompts.data.validation)
        split = min(max(start, known), stop)
        losses = await super()._look_at(words, demonstrations, start, split)
        if split == stop:
            return losses
        train = self.prompts.data.train
        queries = np.array([train.index(query) for query in self._compared[split:stop]])
        self._looks_left -= min(len(queries), self._looks_left)
        self._reserve()
        of_train = await self.losses(words[None], demonstrations[None], queries)
        return np.concatenate([losses, of_train[0]])

    def spent(self) -> Spent:
        """Add what was only counted to the ledger."""
        ledger, counted = super().spent(), self._counted
        return replace(
            ledger,
            calls=ledger.calls + counted.calls,
            tokens_in=ledger.tokens_in + counted.tokens_in,
            tokens_out=ledger.tokens_out + counted.tokens_out,
            money=ledger.money + counted.money,
        )

    def _new(self, words: IntArray, demonstrations: IntArray, queries: IntArray) -> list[_Drawn]:
        """Return the prompts not drawn before, and remember them."""
        new: list[_Drawn] = []
        asked = list(dict.fromkeys(queries.tolist()))
        for w, d in zip(words, demonstrations, strict=True):
            seen = self._seen[w.tobytes() + d.tobytes()]
            if not seen:
                new += [(w, d, asked[0])] * self.content_free
            new += [(w, d, query) for query in asked if query not in seen]
            seen.update(asked)
        return new

    def _count(self, new: Sequence[_Drawn]) -> None:
        """Charge new prompts by the expected cost of a sample of them."""
        model, train = self.gateway.model, self.prompts.data.train
        assert isinstance(model, SimulatedModel)
        sample = [
            model.expected_usage(prompt)
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
        """Effects of words, of demonstrations, and of their interaction with queries."""
        shape, rng = self.shape, np.random.default_rng(0)
        return (
            rng.normal(0.0, _EFFECT, (shape.positions, shape.words)),
            rng.normal(0.0, _EFFECT, (shape.slots, shape.candidates)),
            rng.normal(0.0, _CHANCE, (shape.positions + shape.slots, self.counts[0])),
        )
