"""From a configuration to the task and every site's examples, checked.

From a configuration to what every site's prompts are made of; no language model is asked.

Examples given in Python instead of files.

Which words a run's fragments choose from.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.config import Config
from asyndbt.errors import ConfigError, DataError
from asyndbt.federation import SitePrompts
from asyndbt.lm import LanguageModel, Prompt, check_requests
from asyndbt.prompt import agree, load_vocabulary, pmi_ngrams, propose, reveal
from asyndbt.run._directory import RunDirectory, write_atomically
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

__all__ = [
    "Rows",
    "RunInputs",
    "check_delays",
    "check_names",
    "load_inputs",
    "load_site_data",
    "make_task",
    "place_rows",
    "resolve_vocabulary",
    "take_rows",
]


def make_task(config: Config) -> Task:
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


def load_site_data(config: Config, task: Task) -> Split:
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


@dataclass(frozen=True, slots=True)
class RunInputs:
    """Task, vocabulary, and every site's examples in their places.

    Parameters
    ----------
    task : Task
    sites : dict of str to SitePrompts
    vocabulary : tuple of str
        Empty where no fragment is learned.
    positions : int
        M, words of a fragment.
    duplicates : str
        What to say of rows that are in more than one split; empty if there are none.
    """

    task: Task
    sites: dict[str, SitePrompts]
    vocabulary: tuple[str, ...]
    positions: int
    duplicates: str

    def check(self, model: LanguageModel) -> list[Prompt]:
        """Check labels and longest prompts against a model; give two prompts to probe it with.

        Returns
        -------
        list of Prompt
            The one that costs most and the one that costs least.

        Raises
        ------
        DataError
            If the model cannot tell labels apart, or a prompt is too long for it.
        """
        every = [
            prompt
            for site in self.sites.values()
            for prompt in site.longest(site.data.queries, model)
        ]
        check_requests(model, self.task.label_words, every)
        every.sort(key=lambda prompt: model.max_usage(prompt).tokens)
        return [every[-1], every[0]]


def load_inputs(config: Config) -> RunInputs:
    """Load and split the examples, agree on the vocabulary, choose the demonstration candidates.

    Raises
    ------
    ConfigError, DataError
        With file, line or field, and the mend.
    """
    task, method = make_task(config), config.method
    split = load_site_data(config, task)
    data = list(split.sites)
    check_names(data)
    check_delays(config, [site.name for site in data])
    if method.centralised:
        data = [merge_sites(data)]
    positions = 0 if method.mode == "demonstrations" else method.fragment_length
    vocabulary = resolve_vocabulary(config, data) if positions else ()
    sites = {
        site.name: SitePrompts(task, site, _slots(config, task, site), vocabulary, positions)
        for site in data
    }
    return RunInputs(task, sites, vocabulary, positions, str(split.duplicates))


def _slots(config: Config, task: Task, data: SiteData) -> tuple[tuple[Example, ...], ...]:
    method = config.method
    if method.mode == "fragment":
        return ()
    return demonstration_slots(
        data,
        task,
        per_class=method.demonstrations_per_class or 1,
        total=method.demonstrations_total,
        seed=config.run.seed,
    )


Rows = Mapping[str, Sequence[Any]]
"""Rows by part: train, validation, test."""

_FOLDER = ".data"
"""Below ``sites/``, as texts are; no site has this name, which begins with a dot."""


def take_rows(tables: Mapping[str, Any]) -> tuple[dict[str, Any], Rows]:
    """Replace lists of rows in the table ``data`` by names of files.

    Examples
    --------
    >>> tables, rows = take_rows({"data": {"train": [{"text_a": "fine", "label": "1"}]}})
    >>> tables, rows["train"][0]["label"]
    ({'data': {'train': 'train.jsonl'}}, '1')
    """
    data = tables.get("data")
    if not isinstance(data, Mapping):
        return dict(tables), {}
    rows = {
        part: data[part]
        for part in ("train", "validation", "test")
        if isinstance(data.get(part), list | tuple)
    }
    files = {part: f"{part}.jsonl" for part in rows}
    return {**tables, "data": {**data, **files}}, rows


def place_rows(config: Config, rows: Rows) -> Config:
    """Write rows into the directory of a run to come, and name the files in its configuration.

    Raises
    ------
    RunDirectoryError
        If a run is recorded there already.
    DataError
        If a row is not a mapping of texts and numbers.
    """
    RunDirectory(config.run.dir).check_unused()
    folder = config.run.dir / "sites" / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for part, given in rows.items():
        write_atomically(folder / f"{part}.jsonl", "".join(_lines(part, given)).encode())
    return config.override({f"data.{part}": str(folder / f"{part}.jsonl") for part in rows})


def _lines(part: str, rows: Sequence[Any]) -> Iterable[str]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"data.{part}, row {number}: found {row!r}; give a mapping by column")
        try:
            yield json.dumps(dict(row)) + "\n"
        except (TypeError, ValueError) as error:
            raise DataError(f"data.{part}, row {number}: {error}; give texts and numbers") from None


_LIMIT = 200


def resolve_vocabulary(config: Config, sites: Sequence[SiteData]) -> tuple[str, ...]:
    """Return the vocabulary that all sites use, in one order.

    ``pmi`` takes n-grams of the sites' own data: from one site all of them, in a federation those
    that at least ``vocabulary_min_sites`` sites propose on their own.  Here all sites are in one
    process, which makes the key and sees every n-gram: a simulation of the protocol, with its
    outcome and without its secrecy.

    Raises
    ------
    DataError
        If fewer than two entries are left.
    """
    method = config.method
    if method.vocabulary != "pmi":
        return load_vocabulary(method.vocabulary, Path())[: method.vocabulary_limit]
    limit = method.vocabulary_limit or _LIMIT
    own = {site.name: pmi_ngrams(_texts(site), limit) for site in sites}
    if len(sites) == 1:
        words = own[sites[0].name]
    else:
        words = _shared(own, method.vocabulary_min_sites)[:limit]
    if len(words) < 2:
        raise DataError(
            f'method.vocabulary = "pmi" leaves {len(words)} n-grams that the sites share; use '
            '"builtin", a file, or lower method.vocabulary_min_sites'
        )
    return tuple(words)


def _shared(own: dict[str, list[str]], least: int) -> list[str]:
    """N-grams that several sites propose by hash alone, those of most sites first.

    The key is new every time.  So that a run can be repeated and resumed, the order does not hang
    on it: of n-grams that equally many sites propose, the first in the alphabet comes first.
    """
    key = secrets.token_bytes(32)
    agreed = agree({name: propose(words, key) for name, words in own.items()}, least)
    votes = Counter(chain.from_iterable(map(set, own.values())))
    return sorted(reveal(votes, key, agreed), key=lambda word: (-votes[word], word))


def _texts(site: SiteData) -> Iterable[str]:
    return [text for example in (*site.pool, *site.train) for text in example.fields.values()]
