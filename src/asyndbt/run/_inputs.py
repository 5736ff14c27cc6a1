"""The inputs of a run: task, vocabulary and every site's examples, loaded and checked.

No request is sent. Examples given in Python are written to files first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, permutations
from pathlib import Path
from typing import Any, Final

import numpy as np

from asyndbt._spelling import caseless, plain_value, scalar_text, site_name_fault
from asyndbt._text import counted, did_you_mean, listed, shorten
from asyndbt.config import Config, toml_keys
from asyndbt.errors import ConfigError, DataError
from asyndbt.lm import LanguageModel, Prompt, check_requests
from asyndbt.prompt import (
    LONGEST_ENTRY,
    Demonstration,
    load_vocabulary,
    pmi_ngrams,
    repeated_entries,
    with_nearest,
)
from asyndbt.robustness import flip_labels
from asyndbt.run._directory import RunDirectory, make_folder, write_atomically
from asyndbt.run._liars import flips_labels, liars_of
from asyndbt.scoring import SitePrompts
from asyndbt.task import (
    MERGED_SITE,
    Example,
    Reward,
    SiteData,
    Split,
    SplitSizes,
    Task,
    builtin_task,
    demonstration_slots,
    divide_sites,
    load_examples,
    merge_sites,
    partition_examples,
    share_examples,
    split_sites,
)

Rows = Mapping[str, Iterable[Any]]
"""Rows by part: train, validation, test."""

_ROWS_FOLDER = ".data"
"""Below ``sites/``, which may hold texts; a site's name cannot begin with a dot."""
_MAX_NGRAMS = 200
_STAND_INS: Final = tuple(
    f"{start} {'and so on ' * 30}"[:LONGEST_ENTRY] for start in ("one", "two")
)
"""Entries as long as any, where hints are yet to be written."""


@toml_keys()
def make_task(config: Config) -> Task:
    """Return the task that a configuration describes."""
    section = config.task
    if section.template is not None:
        known = builtin_task(section.template)
        return replace(known, costs=_cost_matrix(section.costs, known.labels))
    assert section.instruction is not None
    if section.reward is not None:
        reward = Reward(section.reward, section.pattern)
        return Task(section.instruction, fragment_intro=section.fragment_intro, reward=reward)
    assert section.labels is not None
    return Task(
        section.instruction,
        tuple(section.labels),
        tuple(section.labels.values()),
        section.fragment_intro,
        costs=_cost_matrix(section.costs, tuple(section.labels)),
    )


def _cost_matrix(
    costs: Mapping[str, Mapping[str, float]] | None, labels: Sequence[str]
) -> tuple[tuple[float, ...], ...]:
    """Return costs by right and answered label, 1 for a wrong one that none is given for."""
    if costs is None:
        return ()
    for name in chain(costs, *costs.values()):
        if name not in labels:
            raise ConfigError(
                f"task.costs names {name!r}, which is not one of the labels {listed(labels)}"
                f"{did_you_mean(name, labels)}"
            )
    return tuple(
        tuple(costs.get(right, {}).get(answered, float(right != answered)) for answered in labels)
        for right in labels
    )


def check_names(sites: Sequence[str]) -> None:
    """Raise DataError if a site's name cannot be that of a folder, or not beside the others."""
    folders: dict[str, str] = {}
    for name in sites:
        if fault := site_name_fault(name):
            raise DataError(f"site {shorten(name)}: a site's name {fault}; rename it in the data")
        other = folders.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(
                f"sites {other!r} and {name!r}: the names differ in case only, which some disks "
                "ignore; write them alike if they are one site, or rename one"
            )


def check_delays(config: Config, sites: Sequence[str]) -> None:
    """Raise ConfigError if a delay names an unknown site, which would have no effect."""
    delays = config.federation.delays
    known = [*sites, *([MERGED_SITE] if config.method.centralised else [])]
    for name in ("slow", "dead", "rejoin") if delays else ():
        for site in getattr(delays, name):
            if site not in known:
                raise ConfigError(
                    f"federation.delays.{name} names {site!r}, which is not one of the sites "
                    f"{', '.join(known[:12])}: remove it, or write it as the data does"
                )


def check_first_tokens(config: Config, task: Task) -> None:
    """Raise ConfigError if first tokens are scored, and do not tell the labels apart."""
    if config.lm.feedback != "logprobs":
        return
    for one, other in permutations(task.label_words, 2):
        if caseless(other).startswith(caseless(one)):
            raise ConfigError(
                f"task.labels: {one!r} and {other!r} begin alike, so the first tokens of an answer "
                "do not tell them apart: choose words of which none is the beginning of another, "
                'or set lm.feedback = "text"'
            )


@toml_keys()
def load_site_data(config: Config, task: Task, *, complete: bool = True) -> Split:
    """Load, partition and split the examples of every site: pool, train, validation and test.

    `complete` says whether these are all sites of the run, and must have all classes together.
    """
    data = config.data
    sizes = SplitSizes(data.pool_per_class, data.train_per_class, data.validation_per_class)
    train, validation, test = (
        _examples(config, task, part) for part in ("train", "validation", "test")
    )
    if data.partition is not None:
        train, validation, test = _dealt(config, task, train, validation, test)
    return split_sites(
        task, train, validation, test, sizes=sizes, seed=config.run.seed, complete=complete
    )


def _examples(config: Config, task: Task, part: str) -> list[Example]:
    data = config.data
    if data.sites is not None:
        return [
            example
            for name, files in data.sites.items()
            for example in _load(config, task, getattr(files, part), name)
        ]
    return _load(config, task, getattr(data, part), None)


def _dealt(config: Config, task: Task, *parts: list[Example]) -> Iterator[list[Example]]:
    """Yield training, validation and test examples with the sites of the partition.

    The examples of each site that the data name are dealt apart from those of the others.
    """
    partition, seed = config.data.partition, config.run.seed
    assert partition is not None
    *dealt, test = parts
    if partition.test == "divided":
        dealt.append(test)
    named = {example.site for example in parts[0] if example.site}
    hands = divide_sites(named, partition.sites) if named else {None: partition.sites}
    for examples in dealt:
        # Without a training example a site cannot be cut, and is refused by its name.
        found = [example for example in examples if example.site not in hands]
        for number, (name, count) in enumerate(hands.items()):
            found += partition_examples(
                [example for example in examples if example.site == name],
                count,
                partition.kind,
                alpha=partition.alpha,
                rng=np.random.default_rng([seed, 1, number] if name else [seed, 1]),
                name=name or "site",
                class_of=lambda example: task.classes[task.class_of(example.label)],
            )
        yield found
    if partition.test == "shared":
        yield share_examples(test, partition.sites)


def _load(config: Config, task: Task, source: str | None, site: str | None) -> list[Example]:
    if source is None:
        return []
    data = config.data
    return load_examples(
        source,
        task,
        label_column=config.label_column,
        site_column=data.site_column,
        site=site,
        columns=data.columns,
        max_chars=data.max_chars,
        base=Path(),
    )


@dataclass(frozen=True, slots=True)
class RunInputs:
    """Task, vocabulary, and the prompt material of every site.

    Parameters
    ----------
    vocabulary : tuple of str
        Empty if no fragment is tuned.
    positions : int
        M, words of a fragment.
    duplicates : str
        Removed examples that occur in more than one split; empty if there are none.
    """

    task: Task
    sites: dict[str, SitePrompts]
    vocabulary: tuple[str, ...]
    positions: int
    duplicates: str

    def check(self, model: LanguageModel) -> list[Prompt]:
        """Check the labels and the longest prompts; return the costliest and the cheapest prompt.

        Raises
        ------
        ConfigError
            If the model is to write hints, and writes no texts.
        DataError
            If the model cannot tell labels apart, or a prompt is too long for it.
        """
        if self.vocabulary == _STAND_INS and not model.writes:
            raise ConfigError(
                f'method.vocabulary = "propose": {model.name} writes no texts: choose an '
                'lm.provider and a model that do, or "builtin", or a file of hints'
            )
        prompts = [
            prompt
            for site in self.sites.values()
            for prompt in site.longest(site.data.queries, model)
        ]
        check_requests(model, self.task.label_words, prompts)
        prompts.sort(key=lambda prompt: model.max_usage(prompt).tokens)
        return [prompts[-1], prompts[0]]

    def with_vocabulary(self, vocabulary: tuple[str, ...]) -> RunInputs:
        """Return the same inputs with other words."""
        sites = {name: replace(site, vocabulary=vocabulary) for name, site in self.sites.items()}
        return replace(self, vocabulary=vocabulary, sites=sites)


@toml_keys()
def load_inputs(config: Config, *, complete: bool = True) -> RunInputs:
    """Load and split the examples, fix the vocabulary, deal the pool into demonstration slots.

    Parameters
    ----------
    config : Config
    complete : bool
        Whether these are all sites of the run.

    Raises
    ------
    ConfigError, DataError
        With the file, line or field, and the remedy.
    """
    task, method = make_task(config), config.method
    check_first_tokens(config, task)
    if task.reward is not None and not task.reward.is_judge:
        _ = task.reward.function  # what cannot be imported is told before anything is read
    split = load_site_data(config, task, complete=complete)
    data = list(split.sites)
    check_names([site.name for site in data])
    check_delays(config, [site.name for site in data])
    if method.centralised:
        data = [merge_sites(data)]
    if flips_labels(config):
        liars = liars_of(config, [site.name for site in data])
        data = [flip_labels(site, task.labels) if site.name in liars else site for site in data]
    positions = 0 if method.mode == "demonstrations" else method.fragment_length
    vocabulary = resolve_vocabulary(config, data) if positions else ()
    sites = {
        site.name: SitePrompts(task, site, _slots(config, task, site), vocabulary, positions)
        for site in data
    }
    return RunInputs(task, sites, vocabulary, positions, str(split.duplicates))


def _slots(config: Config, task: Task, data: SiteData) -> tuple[tuple[Demonstration, ...], ...]:
    method = config.method
    if method.mode == "fragment":
        return ()
    slots = demonstration_slots(
        data,
        task,
        per_class=method.demonstrations_per_class or 1,
        total=method.demonstrations_total,
        seed=config.run.seed,
    )
    mixed = method.demonstrations_total is not None
    groups = [None if mixed else task.class_of(first.label) for first, *_ in slots]
    return with_nearest(slots, groups, method.neighbours or ())


def resolve_vocabulary(config: Config, sites: Sequence[SiteData]) -> tuple[str, ...]:
    """Return the vocabulary that all sites use, in one order.

    ``pmi`` takes n-grams of the sites' texts, which must all be in this process: of a single site
    all, of several those shared by at least ``vocabulary_min_sites``, the most shared first. For
    ``propose`` there are stand-ins, which say no more than how long an entry may be.

    Raises
    ------
    ConfigError
        If ``vocabulary_min_sites`` exceeds the number of sites.
    DataError
        If fewer than two entries are left, or the vocabulary's file cannot be used.
    """
    method = config.method
    if asks_for_hints(config):
        return _STAND_INS
    if method.vocabulary != "pmi":
        return load_vocabulary(method.vocabulary, Path())[: method.vocabulary_limit]
    limit = method.vocabulary_limit or _MAX_NGRAMS
    ngrams = [pmi_ngrams(_texts(site), limit) for site in sites]
    single = len(sites) == 1
    words = ngrams[0] if single else _common(ngrams, method.vocabulary_min_sites)[:limit]
    if len(words) < 2:
        raise DataError(
            f'method.vocabulary = "pmi" leaves {counted(len(words), "n-gram")} that the sites '
            'share; use "builtin", a file, or lower method.vocabulary_min_sites'
        )
    return tuple(words)


def asks_for_hints(config: Config) -> bool:
    """Whether the model is to write the vocabulary of the fragment."""
    method = config.method
    return method.vocabulary == "propose" and method.mode != "demonstrations"


def vocabulary_warnings(config: Config) -> Iterator[str]:
    """Yield what the user should know of the vocabulary's file; raises as `resolve_vocabulary`."""
    method = config.method
    if method.mode == "demonstrations" or method.vocabulary in ("pmi", "propose"):
        return
    if remark := repeated_entries(method.vocabulary, Path()):
        yield remark


def _common(ngrams: Sequence[list[str]], least: int) -> list[str]:
    """Return n-grams that `least` or more sites have: the most shared first, then by alphabet."""
    if least > len(ngrams):
        raise ConfigError(
            f"method.vocabulary_min_sites: {least} given for {len(ngrams)} sites; it must be 2 to "
            "that number"
        )
    counts = Counter(chain.from_iterable(ngrams))
    kept = [(-count, ngram) for ngram, count in counts.items() if count >= least]
    return [ngram for _, ngram in sorted(kept)]


def _texts(site: SiteData) -> Iterable[str]:
    return [text for example in (*site.pool, *site.train) for text in example.fields.values()]


def records(rows: Any) -> Iterable[Any]:
    """Return the rows of a data frame of pandas as mappings, and any others as they are."""
    found: Iterable[Any] = rows.to_dict("records") if hasattr(rows, "iloc") else rows
    return found


def take_rows(tables: Mapping[str, Any]) -> tuple[dict[str, Any], Rows]:
    """Replace rows given in the table ``data`` by file names; return the tables and those rows.

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
        if isinstance(data.get(part), Iterable) and not isinstance(data[part], str | Mapping)
    }
    files = {part: f"{part}.jsonl" for part in rows}
    return {**tables, "data": {**data, **files}}, rows


def place_rows(config: Config, rows: Rows) -> Config:
    """Write rows into the directory of a new run, and set their paths in its configuration.

    Columns of other values than texts and numbers are left out, if the run reads none of them.

    Raises
    ------
    RunDirectoryError
        If a run is recorded there already, or nothing can be written there.
    DataError
        If a row is not a mapping, or what the run reads in it not a text or a number.
    """
    RunDirectory(config.run.dir).check_unused()
    folder = config.run.dir / "sites" / _ROWS_FOLDER
    make_folder(folder)
    for part, given in rows.items():
        lines = _lines(f"data.{part}", given, _columns_read(config))
        write_atomically(folder / f"{part}.jsonl", "".join(lines).encode())
    return config.override({f"data.{part}": str(folder / f"{part}.jsonl") for part in rows})


def _columns_read(config: Config) -> set[str | None]:
    data = config.data
    columns = data.columns or {}
    texts = (columns.get(name, name) for name in make_task(config).fields)
    return {*texts, config.label_column, data.site_column}


def _lines(where: str, rows: Iterable[Any], read: Collection[str | None]) -> Iterable[str]:
    for number, row in enumerate(records(rows), start=1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"{where}, row {number}: found {shorten(row)}; give a mapping by column"
            )
        kept = {}
        for name, given in row.items():
            value = plain_value(given)
            if not isinstance(value, str | int | float):
                value = scalar_text(value)
            if value is not None or given is None:
                kept[str(name)] = value
            elif name in read:
                raise DataError(
                    f"{where}, row {number}, column {name!r}: found {type(given).__name__} "
                    f"{shorten(given)}; give a text or a number"
                )
        yield json.dumps(kept) + "\n"
