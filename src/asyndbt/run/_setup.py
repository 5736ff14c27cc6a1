"""From a configuration to sites that are ready to work: all checks before the first paid request.

Also the plan that every machine of a federation derives from its copy of one file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Final

from asyndbt.config import BudgetConfig, Config, toml_keys
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.federation import Plan, Privacy, Site, Worker, vocabulary_digest
from asyndbt.lm import Budget, Gateway, LanguageModel, Limits, RequestCounts, Usage, split_limits
from asyndbt.run._directory import RunDirectory
from asyndbt.run._division import divide_budget
from asyndbt.run._hints import RunHints, ask_hints, known_hints, site_answers
from asyndbt.run._inputs import (
    RunInputs,
    asks_for_hints,
    load_inputs,
    resolve_vocabulary,
    vocabulary_warnings,
)
from asyndbt.run._judge import check_judge, prepare_judge, site_judge
from asyndbt.run._liars import SimulatedLiars, makes_up_names, simulate_liars
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._site import RunSite
from asyndbt.run._site_hints import hints_bound
from asyndbt.run._warnings import privacy_notes, setup_warnings
from asyndbt.scoring import Judge, Needs, PromptObjective, SitePrompts

MOST_ITERATIONS: Final = 100_000
"""Server steps of a run that its budget ends."""


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What a run needs, apart from a clock.

    Parameters
    ----------
    handle : ModelHandle or None
        The language model after its probe; None where every site has a model of its own.
    warnings : tuple of str
        What the user should know before paying.
    liars : SimulatedLiars or None
        The sites that lie, if that is simulated.
    judge : ModelHandle or None
        The language model that judges answers, if the task has one.
    hints : RunHints or None
        What the model wrote for the vocabulary, if it was asked.
    """

    plan: Plan
    sites: dict[str, RunSite]
    vocabulary: tuple[str, ...]
    handle: ModelHandle | None
    warnings: tuple[str, ...] = ()
    liars: SimulatedLiars | None = None
    judge: ModelHandle | None = None
    hints: RunHints | None = None

    @property
    def acting(self) -> Mapping[str, Site]:
        """The sites as an engine meets them, honest or not."""
        return self.sites if self.liars is None else self.liars.sites

    async def close_models(self) -> None:
        """Close the connections of the language models."""
        for handle in (self.handle, self.judge):
            if handle is not None:
                await handle.model.close()

    def example_counts(self) -> dict[str, dict[str, int]]:
        """Return the sizes of the splits by site."""
        splits = ("train", "validation", "test")
        return {
            name: dict(zip(splits, site.worker.objective.counts, strict=True))
            for name, site in self.sites.items()
        }

    def tuning_limit(self, field: str) -> float | None:
        """Return what the sites may spend on tuning in ``calls``, ``tokens`` or ``money``."""
        caps = [site.tuning.cap(field) for site in self.sites.values()]
        known = [cap for cap in caps if cap is not None]
        return sum(known) if known else None


@toml_keys()
def prepare_run(
    config: Config,
    directory: RunDirectory,
    model: LanguageModel | None = None,
    shared: Config | None = None,
    *,
    needs_calls: bool = True,
    writes_hints: bool = True,
) -> RunSetup:
    """Load, split, check and divide, so that no error is left for after the first paid step.

    An endpoint is probed with a few requests, once in a run. The directory is claimed by the
    caller where other processes may use it: they must not pay for that too, nor change the files
    that are read here.

    Parameters
    ----------
    model : LanguageModel, optional
        Replaces the one that the configuration names.
    shared : Config, optional
        At a site whose coordinator is elsewhere: what all sites agree on.
    needs_calls : bool
        Whether tuning sends requests; if not, the budget has to cover the evaluation alone.
    writes_hints : bool
        Whether the model is asked for the vocabulary, if that is to be of hints; if not, stand-ins
        take their place.

    Raises
    ------
    ConfigError, DataError, BudgetError, ModelError
        With the file, line or field, and the remedy.
    """
    inputs = load_inputs(config, complete=shared is None)
    check_judge(config, inputs)
    handle = _known(config, inputs, directory, model)
    if handle is None:
        handle = ModelHandle.of(config.lm, model)
        examples = inputs.check(handle.model)
        _check_calls(config, inputs, handle, needs_calls)
        limits = config.budget.limits
        if handle.model.is_remote:
            with directory.probe_cache() as cache:
                handle.detect_capabilities(examples, inputs.task.label_words, cache, limits)
        else:
            handle.detect_capabilities(examples, inputs.task.label_words, limits=limits)
        directory.write_json("model.json", handle.record())
    judge = prepare_judge(config, inputs, directory)
    hints = None
    if asks_for_hints(config) and writes_hints:
        hints = write_hints(config, inputs, handle, directory, needs_calls=needs_calls)
        inputs = inputs.with_vocabulary(hints.vocabulary)
    return build_setup(
        config,
        inputs,
        handle,
        directory,
        shared=shared,
        needs_calls=needs_calls,
        judge=judge,
        hints=hints,
    )


@toml_keys()
def write_hints(
    config: Config,
    inputs: RunInputs,
    handle: ModelHandle,
    directory: RunDirectory,
    *,
    needs_calls: bool = True,
) -> RunHints:
    """Return the hints that are recorded for a run, or ask for them within its budget."""
    known = known_hints(config, inputs, handle.model, directory)
    if known is not None:
        return known
    needs = _needs(config, inputs, handle.model, needs_calls)
    _, limits = _divide(config.budget, needs, handle)
    return ask_hints(config, inputs, handle, directory, limits)


def _known(
    config: Config, inputs: RunInputs, directory: RunDirectory, model: LanguageModel | None
) -> ModelHandle | None:
    """Return the model with the capabilities recorded for this run; None if there is no record."""
    record = directory.read_json("model.json")
    if record is None:
        return None
    handle = ModelHandle.of(config.lm, model)
    inputs.check(handle.model)
    handle.restore_capabilities(record)
    if handle.model.name == record["model"]:
        return handle
    if not directory.config_file.exists():
        return None
    raise RunDirectoryError(
        f"{directory.path}: the language model is {handle.model.name} now, and the run was "
        f"begun with {record['model']}: name another directory"
    )


@toml_keys()
def build_setup(
    config: Config,
    inputs: RunInputs,
    handle: ModelHandle,
    directory: RunDirectory,
    *,
    objective: type[PromptObjective] = PromptObjective,
    shared: Config | None = None,
    needs_calls: bool = True,
    judge: ModelHandle | None = None,
    hints: RunHints | None = None,
) -> RunSetup:
    """Divide the budget, make the plan, and open every site's files."""
    model = handle.model
    check_prices(config, model)
    needs = _needs(config, inputs, model, needs_calls, hints)
    needs, limits = _divide(config.budget, needs, handle)
    most = _most_steps(config) if needs_calls else None
    needs = {name: need.within(limits[name], most) for name, need in needs.items()}
    steps = min(need.steps_within(limits[name]) for name, need in needs.items())
    every = _validation_interval(config, steps)
    if shared is not None:
        plan = shared_plan(shared, validate_every=every)
    else:
        plan = build_plan(config, list(inputs.sites), inputs.vocabulary, validate_every=every)
    sites = {
        name: _site(
            config,
            plan,
            directory,
            prompts,
            handle,
            needs[name],
            limits[name],
            objective,
            site_judge(
                config,
                judge,
                prompts,
                directory,
                needs[name],
                sites=len(plan.sites),
                here=len(inputs.sites),
            ),
            None if hints is None else hints.sites[name].counts,
        )
        for name, prompts in inputs.sites.items()
    }
    liars = simulate_liars(config, plan, sites, inputs.vocabulary, steps)
    warnings = (
        *(liars.warnings() if liars is not None else ()),
        *privacy_notes(plan),
        *inputs.duplicates.splitlines(),
        *vocabulary_warnings(config),
        *setup_warnings(
            plan, inputs.sites, needs, steps if needs_calls else None, inputs.task.measure
        ),
        *model.warnings([_texts(site) for site in inputs.sites.values()], inputs.vocabulary),
    )
    return RunSetup(plan, sites, inputs.vocabulary, handle, warnings, liars, judge, hints)


@toml_keys()
def check_budget(config: Config, inputs: RunInputs, handle: ModelHandle, needs_calls: bool) -> None:
    """Raise BudgetError if the budget does not cover every site's needs."""
    _divide(config.budget, _needs(config, inputs, handle.model, needs_calls), handle)


def _check_calls(config: Config, inputs: RunInputs, handle: ModelHandle, needs_calls: bool) -> None:
    """Check before a probe whether the calls suffice; tokens can be checked only after it."""
    needs = _needs(config, inputs, handle.model, needs_calls)
    calls = {name: Usage(calls=need.least.calls) for name, need in needs.items()}
    split_limits(config.budget.limits, config.budget.per_site.limits, calls)


def _needs(
    config: Config,
    inputs: RunInputs,
    model: LanguageModel,
    needs_calls: bool,
    hints: RunHints | None = None,
) -> dict[str, Needs]:
    """Return what every site needs without a budget; for hints what they did cost, once known."""
    method, settings = config.method, config.method.settings()
    looks = method.validations + method.confirm_candidates
    costs = dict.fromkeys(inputs.sites, Usage())
    if hints is not None:
        costs = {name: site.spent for name, site in hints.sites.items()}
    elif asks_for_hints(config):
        costs = {name: hints_bound(config, site, model) for name, site in inputs.sites.items()}
    return {
        name: Needs.of(
            prompts,
            model,
            draws=settings.draws if needs_calls else 0,
            batch_size=settings.batch_size,
            validations=looks if needs_calls else 0,
            random_draws=method.random_icl_draws,
            calibration=config.lm.calibration,
            hints=costs[name],
        )
        for name, prompts in inputs.sites.items()
    }


def _divide(
    budget: BudgetConfig, needs: Mapping[str, Needs], handle: ModelHandle
) -> tuple[dict[str, Needs], dict[str, Limits]]:
    """Divide what the probe has left of a budget."""
    total, each = budget.limits.after(handle.ledger.spent), budget.per_site.limits
    return divide_budget(total, each, needs, budget.test_share)


def build_plan(
    config: Config,
    sites: Sequence[str],
    vocabulary: Sequence[str],
    *,
    validate_every: int = 0,
    shared: str = "",
) -> Plan:
    """Return what the server and all sites of a run agree on.

    Parameters
    ----------
    validate_every : int
        Local steps between two validations of a site while it tunes.
    shared : str
        Digest of the settings that every machine of a federation must share.
    """
    method, federation = config.method, config.federation
    positions = method.fragment_length if vocabulary else 0
    settings, privacy = method.settings(), _privacy(config)
    if privacy is not None:
        # Sites report neither what these ask for nor what would come of it.
        settings, validate_every = settings.replace(refresh_every=0), 0
    return Plan(
        sites=tuple(sites),
        positions=positions,
        words=len(vocabulary),
        settings=settings,
        vocabulary_digest=vocabulary_digest(vocabulary),
        quorum=1 if method.centralised else federation.quorum_of(len(sites)),
        staleness=federation.staleness,
        lease=federation.lease,
        refresh=federation.refresh,
        consensus=len(sites) > 1 and positions > 0,
        local_steps=method.local_steps,
        iterations=method.iterations or MOST_ITERATIONS,
        confirm_candidates=method.confirm_candidates,
        validate_every=validate_every,
        validations=method.validations,
        patience=method.patience,
        shared=shared,
        seed=config.run.seed,
        limits=config.budget.limits.least(config.budget.per_site.limits),
        open=makes_up_names(config),
        privacy=privacy,
    )


def _privacy(config: Config) -> Privacy | None:
    asked, steps = config.federation.privacy, config.method.iterations
    if asked is None or steps is None:
        return None
    return Privacy.calibrated(asked.epsilon, asked.delta, asked.clip, steps)


def _most_steps(config: Config) -> int | None:
    """Return the most local steps that the configuration allows, None if it does not say."""
    return config.method.iterations and config.method.iterations * config.method.local_steps


def _validation_interval(config: Config, steps: int) -> int:
    """Return the local steps between two validations that spread them evenly over the tuning."""
    method, most = config.method, _most_steps(config)
    steps = steps if most is None else min(steps, most)
    return max(method.local_steps, steps // (method.validations + 1))


def _site(
    config: Config,
    plan: Plan,
    directory: RunDirectory,
    prompts: SitePrompts,
    handle: ModelHandle,
    needs: Needs,
    limits: Limits,
    objective: type[PromptObjective],
    judge: Judge | None,
    counts: RequestCounts | None,
) -> RunSite:
    name, lm = prompts.data.name, config.lm
    folder = directory.site(name)
    cache = site_answers(config, directory, name)
    gateway = Gateway(handle.model, cache, Budget(limits), handle.policy)
    if counts is not None:
        gateway.restore(counts)
    asked = objective(
        prompts,
        gateway,
        needs,
        feedback=lm.feedback,
        loss=plan.settings.loss,
        smoothing=lm.smoothing,
        calibration=lm.calibration,
        random_draws=config.method.random_icl_draws,
        judge=judge,
    )
    worker = Worker(name, plan, asked, config.run.seed, _noise(config, name))
    return RunSite(worker, prompts, folder, cache, needs, limits.after(needs.evaluation), judge)


def _noise(config: Config, site: str) -> Callable[[int], Random]:
    """Return the sources of a site's noise: in a simulation they are repeatable, and no secret."""
    if config.federation.engine == "virtual":
        return lambda number: Random(f"{config.run.seed}/{site}/{number}")
    return lambda number: SystemRandom()


def check_prices(config: Config, model: LanguageModel) -> None:
    """Raise ConfigError if money is capped and the price of a request is not known."""
    capped = config.budget.money is not None or config.budget.per_site.money is not None
    if capped and not model.has_prices:
        raise ConfigError(
            "budget.money cannot be kept to: the price of the model is not known; set lm.price_in "
            "and lm.price_out, or cap calls or tokens instead"
        )


def _texts(site: SitePrompts) -> Sequence[str]:
    examples = (*site.data.pool, *site.data.queries)
    return [text for example in examples for text in example.fields.values()]


def shared_vocabulary(config: Config) -> tuple[str, ...]:
    """Return the words of the fragment; none if only demonstrations are tuned."""
    return () if config.method.mode == "demonstrations" else resolve_vocabulary(config, ())


def shared_plan(config: Config, *, validate_every: int = 0) -> Plan:
    """Return the plan of a run of engine "flower".

    `validate_every` is known only to a site, which knows its budget; the coordinator ignores it.
    """
    return build_plan(
        config,
        config.federation.sites or (),
        shared_vocabulary(config),
        validate_every=validate_every,
        shared=_digest(config),
    )


def _digest(config: Config) -> str:
    """Digest the settings that every copy must share; the vocabulary has its own digest."""
    values = config.to_dict()
    agreed = {name: values[name] for name in ("task", "method", "budget")}
    agreed["method"].pop("vocabulary", None)
    agreed |= {"sites": values["federation"]["sites"], "seed": config.run.seed}
    return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()[:16]
