"""From a configuration to sites ready to work: everything that is checked before a call.

What is said before a run begins: what would make it fail, what to know before paying.

What all machines of a federation derive from their copies of one file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyndbt.config import BudgetConfig, Config, LimitsConfig
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.federation import Needs, Plan, PromptObjective, SitePrompts, Worker, vocabulary_digest
from asyndbt.lm import AnswerCache, Budget, Gateway, LanguageModel, Limits, Usage, split_limits
from asyndbt.run._directory import RunDirectory
from asyndbt.run._inputs import RunInputs, load_inputs, make_task, resolve_vocabulary
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._site import RunSite

__all__ = [
    "TUNING_VALIDATIONS",
    "USEFUL_STEPS",
    "RunSetup",
    "RunSite",
    "affordable_steps",
    "build_setup",
    "check_budget",
    "check_prices",
    "make_task",
    "prepare_run",
    "shared_plan",
    "shared_vocabulary",
    "warn_few_steps",
]

TUNING_VALIDATIONS: Final = 3
"""Of every site at its validation data while it tunes."""


@dataclass(frozen=True, slots=True)
class RunSetup:
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
    connection: ModelHandle
    warnings: tuple[str, ...]


def prepare_run(
    config: Config, directory: RunDirectory, model: LanguageModel | None = None
) -> RunSetup:
    """Load, split, check and divide, so that nothing is left to fail after the first paid step.

    Only to find out what an endpoint can do are a few requests sent, once in a run.  A `model`
    that is given takes the place of the configuration's.

    Raises
    ------
    ConfigError, DataError, BudgetError, ModelError
        With file, line or field, and the mend.
    """
    gathered = load_inputs(config)
    connection = _known(config, gathered, directory, model)
    if connection is None:
        connection = ModelHandle.of(config.lm, model)
        examples = gathered.check(connection.model)
        _check_calls(config, gathered, connection)
        remote = connection.model.is_remote
        with directory.probe_cache() if remote else AnswerCache(":memory:") as cache:
            connection.detect_capabilities(
                examples, gathered.task.label_words, cache, _limits(config.budget)
            )
        directory.write_json("model.json", connection.record())
    return build_setup(config, gathered, connection, directory)


def _known(
    config: Config, gathered: RunInputs, directory: RunDirectory, model: LanguageModel | None
) -> ModelHandle | None:
    """Return the model that was probed for this run before, by what was found then.

    Raises
    ------
    RunDirectoryError
        If the run was begun with another one.
    """
    record = directory.read_json("model.json")
    if record is None:
        return None
    connection = ModelHandle.of(config.lm, model)
    gathered.check(connection.model)
    connection.restore_capabilities(record)
    if connection.model.name == record["model"]:
        return connection
    if not directory.config_file.exists():
        return None
    raise RunDirectoryError(
        f"{directory.path}: the language model is {connection.model.name} now, and the run was "
        f"begun with {record['model']}: name another directory"
    )


def build_setup(
    config: Config,
    gathered: RunInputs,
    connection: ModelHandle,
    directory: RunDirectory,
    objective: type[PromptObjective] = PromptObjective,
) -> RunSetup:
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
        *warn_few_steps(plan, needs, limits),
        *model.warnings([_texts(site) for site in gathered.sites.values()]),
    )
    return RunSetup(plan, sites, gathered.vocabulary, connection, warnings)


def check_budget(config: Config, gathered: RunInputs, connection: ModelHandle) -> None:
    """Find out whether the budget covers what every site needs at least.

    Raises
    ------
    BudgetError
        If not, with what it would take.
    """
    _shares(config.budget, _needs(config, gathered, connection.model), connection)


def _check_calls(config: Config, gathered: RunInputs, connection: ModelHandle) -> None:
    """Find out before a probe that the calls do not last; of tokens it has to tell first."""
    needs = _needs(config, gathered, connection.model)
    calls = {name: Usage(calls=need.least.calls) for name, need in needs.items()}
    split_limits(_limits(config.budget), _limits(config.budget.per_site), calls)


def _needs(config: Config, gathered: RunInputs, model: LanguageModel) -> dict[str, Needs]:
    """Return by site what it must be able to spend."""
    method, settings = config.method, config.method.settings()
    return {
        name: Needs.of(
            prompts,
            model,
            step_prompts=settings.draws * settings.batch_size,
            looks=TUNING_VALIDATIONS + _looks_at_the_end(prompts, method.confirm_candidates),
            random_draws=method.random_icl_draws,
        )
        for name, prompts in gathered.sites.items()
    }


def _shares(
    budget: BudgetConfig, needs: Mapping[str, Needs], connection: ModelHandle
) -> dict[str, Limits]:
    """Return by site what it may spend; what the probe has cost is gone from the total.

    Raises
    ------
    BudgetError
        If the budget does not cover the needs.
    """
    return split_limits(
        _limits(budget).after(connection.ledger.spent),
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
    config: Config, gathered: RunInputs, needs: Mapping[str, Needs], limits: Mapping[str, Limits]
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
        validate_every=max(1, steps // (TUNING_VALIDATIONS + 1)),
        looks=TUNING_VALIDATIONS,
    )


def _site(
    config: Config,
    plan: Plan,
    directory: RunDirectory,
    prompts: SitePrompts,
    connection: ModelHandle,
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
        Gateway(connection.model, cache, Budget(limits), connection.policy),
        needs,
        feedback=lm.feedback,
        loss=plan.settings.loss,
        smoothing=lm.smoothing,
        random_draws=config.method.random_icl_draws,
    )
    worker = Worker(name, plan, asked, config.run.seed)
    return RunSite(worker, prompts, folder, cache, needs, limits.after(needs.evaluation))


USEFUL_STEPS: Final = 30
"""Steps of a site below which hardly anything is tuned."""


def check_prices(config: Config, model: LanguageModel) -> None:
    """A cap on money is none where nobody knows what a request costs."""
    capped = config.budget.money is not None or config.budget.per_site.money is not None
    if capped and not model.has_prices:
        raise ConfigError(
            "budget.money cannot be kept to: the price of the model is not known; set lm.price_in "
            "and lm.price_out, or cap calls or tokens instead"
        )


def affordable_steps(needs: Mapping[str, Needs], limits: Mapping[str, Limits]) -> Iterator[int]:
    """Return for every site the local steps that its budget surely covers."""
    for name, need in needs.items():
        yield need.steps_within(limits[name])


def warn_few_steps(
    plan: Plan, needs: Mapping[str, Needs], limits: Mapping[str, Limits]
) -> Iterator[str]:
    """Say that the budget, or the number of iterations, is too small to tune much."""
    steps = min(plan.iterations * plan.local_steps, *affordable_steps(needs, limits))
    if steps < USEFUL_STEPS:
        yield (
            f"the budget surely buys {steps} steps of a site, and fewer than {USEFUL_STEPS} tune "
            "hardly anything: give more, or lower data.validation_per_class"
        )


def _texts(site: SitePrompts) -> Sequence[str]:
    examples = (*site.data.pool, *site.data.queries)
    return [text for example in examples for text in example.fields.values()]


def shared_vocabulary(config: Config) -> tuple[str, ...]:
    """Return the words of the fragment; none where demonstrations alone are tuned."""
    return () if config.method.mode == "demonstrations" else resolve_vocabulary(config, ())


def shared_plan(config: Config, *, validate_every: int = 0, looks: int = 3) -> Plan:
    """Return the agreement of a run whose sites are elsewhere.

    Parameters
    ----------
    config : Config
        Of engine "flower".
    validate_every, looks : int
        What a site, which knows its budget, plans for itself; the coordinator has no use for it.
    """
    method, federation = config.method, config.federation
    names, vocabulary = tuple(federation.sites or ()), shared_vocabulary(config)
    positions = method.fragment_length if vocabulary else 0
    return Plan(
        sites=names,
        positions=positions,
        words=len(vocabulary),
        settings=method.settings(),
        vocabulary_digest=vocabulary_digest(vocabulary),
        quorum=federation.quorum_of(len(names)),
        staleness=federation.staleness,
        lease=federation.lease,
        refresh=federation.refresh,
        consensus=len(names) > 1 and positions > 0,
        local_steps=method.local_steps,
        iterations=method.iterations or 100_000,
        confirm_candidates=method.confirm_candidates,
        validate_every=validate_every,
        looks=looks,
        shared=_digest(config),
    )


def _digest(config: Config) -> str:
    """Digest of what must be the same in every copy: words by their digest, not by their path."""
    values = config.to_dict()
    agreed = {name: values[name] for name in ("task", "method", "budget")}
    agreed["method"].pop("vocabulary", None)
    agreed |= {"sites": values["federation"]["sites"], "seed": config.run.seed}
    return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()[:16]
