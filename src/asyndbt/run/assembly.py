"""From a configuration to sites ready to work: everything that is checked before a call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyndbt.config import Config
from asyndbt.errors import ConfigError, DataError, RunDirectoryError
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
    check_requests,
    make_model,
    split_limits,
)
from asyndbt.run.directory import RunDirectory, write_atomically
from asyndbt.run.words import agreed_vocabulary
from asyndbt.task import (
    MERGED_SITE,
    Example,
    SiteData,
    Split,
    SplitSizes,
    Task,
    builtin_task,
    demonstration_slots,
    load_examples,
    merge_sites,
    partition_examples,
    split_sites,
)

__all__ = ["Assembly", "RunSite", "assemble", "task_of"]

_LOOKS_ON_THE_WAY = 3


@dataclass(slots=True)
class RunSite:
    """A site of a run on this machine: its worker, its prompts, and where its state is kept.

    `tuning` is what its budget leaves for tuning.
    """

    worker: Worker
    prompts: SitePrompts
    folder: Path
    cache: AnswerCache
    tuning: Limits

    def save(self) -> None:
        """Put the worker's state into the site's own part of the run directory."""
        head = self.prompts.digest.encode() + b"\n"
        write_atomically(self.folder / "state", head + self.worker.state())

    def load(self) -> None:
        """Take over the state of an earlier session, if there is one.

        Raises
        ------
        RunDirectoryError
            If the session worked on other data: its policies would mean other texts here.
        """
        file = self.folder / "state"
        if not file.exists():
            return
        digest, _, state = file.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") != self.prompts.digest:
            raise RunDirectoryError(
                f"site {self.worker.site!r}: its data, or the vocabulary, is not what this run "
                "was started with; put the files back, or start anew in another directory"
            )
        self.worker.restore(state)

    def close(self) -> None:
        """Close the file of paid answers."""
        self.cache.close()


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


def task_of(config: Config) -> Task:
    """Return the task that a configuration describes."""
    section = config.task
    if section.template is not None:
        return builtin_task(section.template)
    assert section.instruction is not None
    assert section.labels is not None
    return Task(
        section.instruction,
        tuple(section.labels),
        tuple(section.labels.values()),
        section.fragment_intro,
    )


def assemble(config: Config, directory: RunDirectory) -> Assembly:
    """Load, split, check and divide, so that nothing is left to fail after the first paid call.

    Raises
    ------
    ConfigError, DataError, BudgetError
        With file, line or field, and the mend.
    """
    task, method = task_of(config), config.method
    split = _split(config, task)
    data = list(split.sites)
    _check_names(data)
    _check_delays(config, [site.name for site in data])
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
    return Assembly(plan, sites, vocabulary, tuple(str(split.duplicates).splitlines()))


def _check_names(sites: Sequence[SiteData]) -> None:
    """A site's name becomes a folder's: it must be one."""
    for site in sites:
        if not re.fullmatch(r"\w[\w .-]*", site.name):
            raise DataError(
                f"site {site.name!r}: a site's name starts with a letter or digit and has only "
                "letters, digits, spaces and . _ - in it; rename it in the data"
            )


def _check_delays(config: Config, sites: Sequence[str]) -> None:
    """Delays of sites that there are not would be a slip, and change nothing."""
    delays = config.federation.delays
    known = [*sites, *([MERGED_SITE] if config.method.centralised else [])]
    for name in ("slow", "dead", "rejoin") if delays else ():
        for site in getattr(delays, name):
            if site not in known:
                raise ConfigError(
                    f"federation.delays.{name} names {site!r}, which is not one of the sites "
                    f"{', '.join(known[:12])}: remove it, or write it as the data does"
                )


def _split(config: Config, task: Task) -> Split:
    data = config.data
    sizes = SplitSizes(data.pool_per_class, data.train_per_class, data.validation_per_class)
    train = _examples(config, task, "train")
    validation, test = _examples(config, task, "validation"), _examples(config, task, "test")
    return split_sites(task, train, validation, test, sizes=sizes, seed=config.run.seed)


def _examples(config: Config, task: Task, part: str) -> list[Example]:
    """Examples of one part (train, validation, test), every one with its site."""
    data = config.data
    if data.sites is not None:
        return [
            example
            for name, files in data.sites.items()
            for example in _load(config, task, getattr(files, part), name)
        ]
    examples = _load(config, task, getattr(data, part), None)
    if data.partition is None or not examples:
        return examples
    cut = data.partition
    rng = np.random.default_rng([config.run.seed, 1])
    return partition_examples(examples, cut.sites, cut.kind, alpha=cut.alpha or 0.5, rng=rng)


def _load(config: Config, task: Task, source: str | None, site: str | None) -> list[Example]:
    if source is None:
        return []
    data = config.data
    return load_examples(
        source,
        task,
        label_column=data.label_column,
        site_column=data.site_column,
        site=site,
        columns=data.columns,
        max_chars=data.max_chars,
        base=Path(),
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
