"""From a configuration to sites ready to work: everything that is checked before a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyndbt.config import Config
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
    PocketLanguageModel,
    check_requests,
    make_model,
    split_limits,
)
from asyndbt.run.directory import RunDirectory
from asyndbt.run.examples import check_delays, check_names, split_of, task_of
from asyndbt.run.site import RunSite
from asyndbt.run.words import agreed_vocabulary
from asyndbt.task import Example, SiteData, Task, demonstration_slots, merge_sites

__all__ = ["Assembly", "RunSite", "assemble", "task_of"]

_LOOKS_ON_THE_WAY = 3
_UNKNOWN_WORDS = 0.1


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a run needs besides a clock.

    Parameters
    ----------
    plan : Plan
    sites : dict of str to RunSite
    vocabulary : tuple of str
    warnings : tuple of str
        What the user should know before paying.
    """

    plan: Plan
    sites: dict[str, RunSite]
    vocabulary: tuple[str, ...]
    warnings: tuple[str, ...]


def assemble(config: Config, directory: RunDirectory) -> Assembly:
    """Load, split, check and divide, so that nothing is left to fail after the first paid call.

    Raises
    ------
    ConfigError, DataError, BudgetError
        With file, line or field, and the mend.
    """
    task, method = task_of(config), config.method
    split = split_of(config, task)
    data = list(split.sites)
    check_names(data)
    check_delays(config, [site.name for site in data])
    if method.centralised:
        data = [merge_sites(data)]
    positions = 0 if method.mode == "demonstrations" else method.fragment_length
    vocabulary = agreed_vocabulary(config, data) if positions else ()
    prompts = {site.name: _prompts(config, task, site, vocabulary, positions) for site in data}
    model = make_model(config.lm.provider, feedback=config.lm.feedback)
    for site in prompts.values():
        queries = [*site.data.train, *site.data.validation, *site.data.test]
        check_requests(model, task.label_words, site.longest(queries, model))
    needs = {name: _needs(config, site, model) for name, site in prompts.items()}
    limits = split_limits(
        _limits(config.budget),
        _limits(config.budget.per_site),
        {name: need.least for name, need in needs.items()},
    )
    plan = _plan(config, list(prompts), vocabulary, positions, needs, limits)
    sites = {
        name: _site(config, plan, directory, prompts[name], model, needs[name], limits[name])
        for name in prompts
    }
    warnings = (*str(split.duplicates).splitlines(), *_unknown_words(model, data))
    return Assembly(plan, sites, vocabulary, warnings)


def _unknown_words(model: LanguageModel, data: Sequence[SiteData]) -> Iterator[str]:
    """Say that the pocket model cannot read the texts; which words, stays at the sites."""
    if not isinstance(model, PocketLanguageModel):
        return
    share = max(
        model.unknown_share(
            text
            for example in (*site.pool, *site.train, *site.validation, *site.test)
            for text in example.fields.values()
        )
        for site in data
    )
    if share > _UNKNOWN_WORDS:
        of = "the words in the texts" if len(data) == 1 else "the words in a site's texts"
        yield (
            f"pocket model: {'' if len(data) == 1 else 'up to '}{100 * share:.0f} % of {of} are "
            "unknown to it; its answers mean little for them"
        )


def _prompts(
    config: Config, task: Task, data: SiteData, vocabulary: tuple[str, ...], positions: int
) -> SitePrompts:
    method = config.method
    slots: tuple[tuple[Example, ...], ...] = ()
    if method.mode != "fragment":
        slots = demonstration_slots(
            data,
            task,
            per_class=method.demonstrations_per_class or 1,
            total=method.demonstrations_total,
            seed=config.run.seed,
        )
    return SitePrompts(task, data, slots, vocabulary, positions)


def _needs(config: Config, prompts: SitePrompts, model: LanguageModel) -> Needs:
    method, settings = config.method, config.method.settings()
    return Needs.of(
        prompts,
        model,
        step_prompts=settings.draws * settings.batch_size,
        looks=_LOOKS_ON_THE_WAY + _looks_at_the_end(prompts, method.confirm_candidates),
        random_draws=method.random_icl_draws,
    )


def _looks_at_the_end(prompts: SitePrompts, candidates: int) -> int:
    """Fragments that are compared, then demonstrations beside those that the fragments had."""
    shape = prompts.shape
    others = min(candidates - 1, shape.slots)
    return candidates + others if shape.positions else 1 + others


def _limits(section: object) -> Limits:
    return Limits(*(getattr(section, name) for name in ("calls", "tokens", "money")))


def _plan(
    config: Config,
    names: Sequence[str],
    vocabulary: tuple[str, ...],
    positions: int,
    needs: dict[str, Needs],
    limits: dict[str, Limits],
) -> Plan:
    method, federation = config.method, config.federation
    steps = min(needs[name].steps_within(limits[name]) for name in names)
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
        validate_every=max(1, steps // (_LOOKS_ON_THE_WAY + 1)),
        looks=_LOOKS_ON_THE_WAY,
    )


def _site(
    config: Config,
    plan: Plan,
    directory: RunDirectory,
    prompts: SitePrompts,
    model: LanguageModel,
    needs: Needs,
    limits: Limits,
) -> RunSite:
    folder = directory.site(prompts.data.name)
    cache = AnswerCache(folder / "answers.sqlite", prompts.data.name)
    objective = PromptObjective(
        prompts,
        Gateway(model, cache, Budget(limits)),
        needs,
        feedback=config.lm.feedback,
        smoothing=config.lm.smoothing,
        random_draws=config.method.random_icl_draws,
    )
    worker = Worker(prompts.data.name, plan, objective, config.run.seed)
    return RunSite(worker, prompts, folder, cache, limits.after(needs.evaluation))
