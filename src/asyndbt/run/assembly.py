"""From a configuration to sites ready to work: everything that is checked before a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from asyndbt.config import BudgetConfig, Config, LimitsConfig
from asyndbt.errors import RunDirectoryError
from asyndbt.federation import (
    Needs,
    Plan,
    PromptObjective,
    SitePrompts,
    Worker,
    vocabulary_digest,
)
from asyndbt.lm import (
    AnswerCache,
    Budget,
    Gateway,
    LanguageModel,
    Limits,
    Usage,
    split_limits,
)
from asyndbt.run.advice import affordable_steps, check_prices, few_steps, unknown_words
from asyndbt.run.directory import RunDirectory
from asyndbt.run.examples import task_of
from asyndbt.run.models import Connection
from asyndbt.run.prompts import Gathered, gather
from asyndbt.run.site import RunSite

__all__ = [
    "LOOKS_ON_THE_WAY",
    "Assembly",
    "RunSite",
    "assemble",
    "check_budget",
    "put_together",
    "task_of",
]

LOOKS_ON_THE_WAY: Final = 3
"""Of every site at its validation data while it tunes."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a run needs besides a clock.

    Parameters
    ----------
    plan : Plan
    sites : dict of str to RunSite
    vocabulary : tuple of str
    connection : Connection
        The language model, as it was found.
    warnings : tuple of str
        What the user should know before paying.
    """

    plan: Plan
    sites: dict[str, RunSite]
    vocabulary: tuple[str, ...]
    connection: Connection
    warnings: tuple[str, ...]


def assemble(
    config: Config, directory: RunDirectory, model: LanguageModel | None = None
) -> Assembly:
    """Load, split, check and divide, so that nothing is left to fail after the first paid step.

    Only to find out what an endpoint can do are a few requests sent, once in a run.  A `model`
    that is given takes the place of the configuration's.

    Raises
    ------
    ConfigError, DataError, BudgetError, ModelError
        With file, line or field, and the mend.
    """
    gathered = gather(config)
    connection = _known(config, gathered, directory, model)
    if connection is None:
        connection = Connection.of(config.lm, model)
        examples = gathered.check(connection.model)
        _check_calls(config, gathered, connection)
        connection.probe(examples, gathered.task.label_words)
        directory.write_json("model.json", connection.record())
    return put_together(config, gathered, connection, directory)


def _known(
    config: Config, gathered: Gathered, directory: RunDirectory, model: LanguageModel | None
) -> Connection | None:
    """Return the model that was probed for this run before, by what was found then.

    Raises
    ------
    RunDirectoryError
        If the run was begun with another one.
    """
    record = directory.read_json("model.json")
    if record is None:
        return None
    connection = Connection.of(config.lm, model)
    gathered.check(connection.model)
    connection.adopt(record)
    if connection.model.name == record["model"]:
        return connection
    if not directory.config_file.exists():
        return None
    raise RunDirectoryError(
        f"{directory.path}: the language model is {connection.model.name} now, and the run was "
        f"begun with {record['model']}: name another directory"
    )


def put_together(
    config: Config,
    gathered: Gathered,
    connection: Connection,
    directory: RunDirectory,
    objective: type[PromptObjective] = PromptObjective,
) -> Assembly:
    """Divide the budget, make the plan, and open every site's files."""
    model = connection.model
    check_prices(config, model)
    needs = _needs(config, gathered, model)
    limits = _shares(config.budget, needs, connection)
    plan = _plan(config, gathered, needs, limits)
    sites = {
        name: _site(
            config, plan, directory, prompts, connection, needs[name], limits[name], objective
        )
        for name, prompts in gathered.sites.items()
    }
    warnings = (
        *gathered.duplicates.splitlines(),
        *few_steps(plan, needs, limits),
        *unknown_words(model, gathered.sites),
    )
    return Assembly(plan, sites, gathered.vocabulary, connection, warnings)


def check_budget(config: Config, gathered: Gathered, connection: Connection) -> None:
    """Find out whether the budget covers what every site needs at least.

    Raises
    ------
    BudgetError
        If not, with what it would take.
    """
    _shares(config.budget, _needs(config, gathered, connection.model), connection)


def _check_calls(config: Config, gathered: Gathered, connection: Connection) -> None:
    """Find out before a probe that the calls do not last; of tokens it has to tell first."""
    needs = _needs(config, gathered, connection.model)
    calls = {name: Usage(calls=need.least.calls) for name, need in needs.items()}
    split_limits(_limits(config.budget), _limits(config.budget.per_site), calls)


def _needs(config: Config, gathered: Gathered, model: LanguageModel) -> dict[str, Needs]:
    """Return by site what it must be able to spend."""
    method, settings = config.method, config.method.settings()
    return {
        name: Needs.of(
            prompts,
            model,
            step_prompts=settings.draws * settings.batch_size,
            looks=LOOKS_ON_THE_WAY + _looks_at_the_end(prompts, method.confirm_candidates),
            random_draws=method.random_icl_draws,
        )
        for name, prompts in gathered.sites.items()
    }


def _shares(
    budget: BudgetConfig, needs: Mapping[str, Needs], connection: Connection
) -> dict[str, Limits]:
    """Return by site what it may spend; what the probe has cost is gone from the total.

    Raises
    ------
    BudgetError
        If the budget does not cover the needs.
    """
    return split_limits(
        _limits(budget).after(connection.found.usage),
        _limits(budget.per_site),
        {name: need.least for name, need in needs.items()},
    )


def _looks_at_the_end(prompts: SitePrompts, candidates: int) -> int:
    """Fragments that are compared, then demonstrations beside those that the fragments had."""
    shape = prompts.shape
    others = min(candidates - 1, shape.slots)
    return candidates + others if shape.positions else 1 + others


def _limits(section: LimitsConfig) -> Limits:
    return Limits(section.calls, section.tokens, section.money)


def _plan(
    config: Config, gathered: Gathered, needs: Mapping[str, Needs], limits: Mapping[str, Limits]
) -> Plan:
    method, federation = config.method, config.federation
    names, positions, vocabulary = list(gathered.sites), gathered.positions, gathered.vocabulary
    steps = min(affordable_steps(needs, limits))
    steps = min(steps, method.iterations * method.local_steps if method.iterations else steps)
    return Plan(
        sites=tuple(names),
        positions=positions,
        words=len(vocabulary),
        settings=method.settings(),
        vocabulary_digest=vocabulary_digest(vocabulary),
        quorum=1 if method.centralised else federation.quorum_of(len(names)),
        staleness=federation.staleness,
        lease=federation.lease,
        refresh=federation.refresh,
        consensus=len(names) > 1 and positions > 0,
        local_steps=method.local_steps,
        iterations=method.iterations or 100_000,
        confirm_candidates=method.confirm_candidates,
        validate_every=max(1, steps // (LOOKS_ON_THE_WAY + 1)),
        looks=LOOKS_ON_THE_WAY,
    )


def _site(
    config: Config,
    plan: Plan,
    directory: RunDirectory,
    prompts: SitePrompts,
    connection: Connection,
    needs: Needs,
    limits: Limits,
    objective: type[PromptObjective],
) -> RunSite:
    name, lm = prompts.data.name, config.lm
    folder = directory.site(name)
    if lm.cache is None:
        cache = AnswerCache(folder / "answers.sqlite", name)
    else:
        cache = AnswerCache(lm.cache, f"{directory.identity()}/{name}")
    asked = objective(
        prompts,
        Gateway(connection.model, cache, Budget(limits), connection.pace),
        needs,
        feedback=lm.feedback,
        loss=plan.settings.loss,
        smoothing=lm.smoothing,
        random_draws=config.method.random_icl_draws,
    )
    worker = Worker(name, plan, asked, config.run.seed)
    return RunSite(worker, prompts, folder, cache, needs, limits.after(needs.evaluation))
