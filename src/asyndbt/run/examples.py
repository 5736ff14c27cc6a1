"""From a configuration to the task and every site's examples, checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asyndbt.config import Config
from asyndbt.errors import ConfigError, DataError
from asyndbt.task import (
    MERGED_SITE,
    Example,
    SiteData,
    Split,
    SplitSizes,
    Task,
    builtin_task,
    load_examples,
    partition_examples,
    split_sites,
)

__all__ = ["check_delays", "check_names", "split_of", "task_of"]


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


def check_names(sites: Sequence[SiteData]) -> None:
    """A site's name becomes a folder's: it must be one."""
    for site in sites:
        if not re.fullmatch(r"\w[\w .-]*", site.name):
            raise DataError(
                f"site {site.name!r}: a site's name starts with a letter or digit and has only "
                "letters, digits, spaces and . _ - in it; rename it in the data"
            )


def check_delays(config: Config, sites: Sequence[str]) -> None:
    """Find delays of sites that there are not: a slip that would change nothing."""
    delays = config.federation.delays
    known = [*sites, *([MERGED_SITE] if config.method.centralised else [])]
    for name in ("slow", "dead", "rejoin") if delays else ():
        for site in getattr(delays, name):
            if site not in known:
                raise ConfigError(
                    f"federation.delays.{name} names {site!r}, which is not one of the sites "
                    f"{', '.join(known[:12])}: remove it, or write it as the data does"
                )


def split_of(config: Config, task: Task) -> Split:
    """Load every site's examples and divide them into what they are for."""
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
