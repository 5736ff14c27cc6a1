"""What a run will cost, found by playing it through with answers that nobody was asked for.

The play uses the code of the run itself: the same plan, coordinator, workers, budget and ledger on
a virtual clock. Only the model is a stand-in (`asyndbt.run.stand_in`) that answers for nothing and
costs what the real one would, and losses come out of a table of chance in which some words and
demonstrations are better, so that the policies settle, and prompts repeat themselves, about as they
will.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from asyndbt.config import Config
from asyndbt.errors import BudgetError
from asyndbt.federation import (
    Coordinator,
    Delays,
    Engine,
    LocalEngine,
    VirtualEngine,
    Worker,
)
from asyndbt.lm import LanguageModel, Probe, Prompt, Usage
from asyndbt.run.assembly import Assembly, check_budget, put_together
from asyndbt.run.directory import RunDirectory
from asyndbt.run.loops import complete
from asyndbt.run.models import Connection
from asyndbt.run.prompts import Gathered, gather
from asyndbt.run.stand_in import ChanceObjective, StandIn

__all__ = ["Estimate", "can_begin", "estimate_run"]

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
    gathered = gather(config)
    connection = Connection.of(config.lm)
    model = connection.model
    examples = gathered.check(model)
    if probe:
        connection.probe(examples, gathered.task.label_words)
    each = seconds_per_request or connection.found.facts.get("seconds_per_request")
    if each is None:
        each = _ASSUMED_SECONDS if model.metered else _timed(model, gathered, examples)
    together = connection.pace.limiter.most if model.metered else model.batch
    stand_in = StandIn(model, together)
    with TemporaryDirectory(prefix="asyndbt-estimate-") as folder:
        assembly = put_together(
            config.override({"lm.cache": None}) if config.lm.cache else config,
            gathered,
            Connection(stand_in, connection.pace, Probe()),
            RunDirectory(Path(folder)),
            objective=ChanceObjective,
        )
        try:
            coordinator = complete(_play(assembly, config, model.metered))
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
    gathered = gather(config)
    found = Connection.of(config.lm)
    gathered.check(found.model)
    stand_in = StandIn(found.model, 1)
    try:
        check_budget(config, gathered, Connection(stand_in, found.pace, Probe()))
    except BudgetError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """A site whose state nobody needs."""

    worker: Worker

    def save(self) -> None:
        """Keep nothing."""


async def _play(assembly: Assembly, config: Config, metered: bool) -> Coordinator:
    coordinator = Coordinator(assembly.plan)
    sites = {name: _Unsaved(site.worker) for name, site in assembly.sites.items()}
    await _engine(config, metered).run(coordinator, sites, lambda now: None)
    return coordinator


def _engine(config: Config, metered: bool) -> Engine:
    """Waiting for an endpoint takes some time or other; a local model keeps its sites in turn."""
    delays = config.federation.delays
    if delays is None and not metered:
        return LocalEngine()
    given: dict[str, Any] = delays.model_dump(exclude_none=True) if delays else {}
    return VirtualEngine(Delays(**given, seed=config.run.seed))


def _timed(model: LanguageModel, gathered: Gathered, examples: Sequence[Prompt]) -> float:
    """Seconds per prompt of a local model, which asks nobody."""
    batch = [examples[index % len(examples)] for index in range(_TIMED)]
    labels = gathered.task.label_words
    complete(model.score(batch, labels))
    start = time.perf_counter()
    complete(model.score(batch, labels))
    return (time.perf_counter() - start) / _TIMED


def _evaluation(config: Config, gathered: Gathered) -> int:
    shown = config.method.mode != "fragment"
    kinds = 2 + (config.method.random_icl_draws if shown else 0)
    return kinds * sum(len(site.data.test) for site in gathered.sites.values())


def _seconds(
    config: Config, model: LanguageModel, stand_in: StandIn, sites: int, each: float
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
