"""Stratified, seeded splits of every site's examples into parts that share no text.

The order in which examples are taken is that of a keyed hash of seed, site and text.  So a split
depends on the content of the files and the seed alone, not on the order of rows or sites, and an
added row moves few others.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b, sha256
from itertools import combinations
from typing import Any, Self

from asyndbt._text import counted, did_you_mean, listed
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._duplicates import (
    Content,
    Deduplicator,
    DuplicateReport,
    without,
    without_repeats,
)
from asyndbt.task._example import Example
from asyndbt.task._task import Task

MERGED_SITE = "all"
"""Name of the site that holds the data of all."""
_DEFAULT_SITE = "local"
"""Site of examples that name none."""

_PARTS = ("pool", "train", "validation", "test")
_BySite = Mapping[str, Sequence[Example]]


def digest(content: Any) -> str:
    """SHA-256 of a value that JSON has."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class SiteData:
    """The examples of one site in four parts that share no text.

    Parameters
    ----------
    name : str
        Name of the site.
    pool : tuple of Example
        Candidates for demonstrations.
    train : tuple of Example
        Queries that the prompt is tuned on.
    validation : tuple of Example
        Queries that the final prompt is chosen by.
    test : tuple of Example
        Queries that decide nothing.

    Raises
    ------
    DataError
        If a text occurs in two parts.

    Examples
    --------
    >>> happy, sad = (Example({"text_a": text}, "1") for text in ("I am happy", "I am sad"))
    >>> SiteData("north", (happy,), (sad,), (), ()).name
    'north'
    >>> SiteData("north", (happy,), (happy,), (), ())
    Traceback (most recent call last):
        ...
    asyndbt.errors.DataError: site 'north': 1 text occurs in pool and in train; a text has one place
    """

    name: str
    pool: tuple[Example, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def queries(self) -> tuple[Example, ...]:
        """All examples that a model is asked about: train, validation and test."""
        return (*self.train, *self.validation, *self.test)

    def texts(self, task: Task) -> list[str]:
        """Return all texts of the site, expected answers among them where these are texts."""
        examples = (*self.pool, *self.queries)
        answers = [example.label for example in examples] if task.reward is not None else []
        return [text for example in examples for text in example.fields.values()] + answers

    @property
    def digests(self) -> dict[str, str]:
        """Digest of the texts and labels by part, in their order."""
        return {
            part: digest([(sorted(e.fields.items()), e.label) for e in getattr(self, part)])
            for part in _PARTS
        }

    def __post_init__(self) -> None:
        contents = {part: {example.content for example in getattr(self, part)} for part in _PARTS}
        for first, second in combinations(contents, 2):
            if common := len(contents[first] & contents[second]):
                texts = "1 text occurs" if common == 1 else f"{common} texts occur"
                raise DataError(
                    f"site {self.name!r}: {texts} in {first} and in {second}; a text has one place"
                )


@dataclass(frozen=True)
class Split:
    """All sites in alphabetical order, and the duplicates that were removed."""

    sites: tuple[SiteData, ...]
    duplicates: DuplicateReport


@dataclass(frozen=True)
class SplitSizes:
    """Examples of each class in the parts of a site.

    Parts of None share equally what the others leave.

    Parameters
    ----------
    pool_per_class : int or None
        Candidates for demonstrations, from the training file.
    train_per_class : int or None
        Training queries, from the training file.
    validation_per_class : int or None
        Validation queries, from the validation file, or from the training file if there is none.
    """

    pool_per_class: int | None = 20
    train_per_class: int | None = None
    validation_per_class: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value < 1:
                raise ConfigError(
                    Setting(field.name), f": {value} given; it must be 1 or more, or left out"
                )


def split_sites(
    task: Task,
    train: Sequence[Example],
    validation: Sequence[Example] = (),
    test: Sequence[Example] = (),
    *,
    sizes: SplitSizes | None = None,
    seed: int = 0,
    complete: bool = True,
) -> Split:
    """Deduplicate examples and split them by site.

    A site may lack classes: its parts are drawn from the others.

    A text in two parts is removed from the earlier one: from train and validation if it occurs in
    the test data of any site, from train if it occurs in the site's validation data.  Texts are
    compared with every run of white space as one space.  From test data only repeats (same text,
    same label) are removed.

    Parameters
    ----------
    task : Task
    train : sequence of Example
        The pool and the training queries are taken from here.
    validation : sequence of Example
        A site with none here takes its validation queries from `train` too.
    test : sequence of Example
        All of a site's test data is used; a site may have none.
    sizes : SplitSizes, optional
    seed : int
    complete : bool
        Whether these are all sites of a run; then each class needs examples at one of them.

    Returns
    -------
    Split
        Sites in alphabetical order; pool, training and validation queries in seeded order, test
        data in that of `test`.

    Raises
    ------
    DataError
        If a site has too few examples of a class, or none of a part, or no site has a class.

    Examples
    --------
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> examples = [Example({"text_a": f"text {i}"}, str(i % 2)) for i in range(60)]
    >>> (site,) = split_sites(task, examples, test=examples[:4]).sites
    >>> site.name, len(site.pool), len(site.train), len(site.validation), len(site.test)
    ('local', 40, 8, 8, 4)
    """
    by_site = _by_site(train)
    held_out = {"validation": _by_site(validation), "test": _by_site(test)}
    _check_sites(by_site, held_out)
    known = _classes(task, train)
    for name in task.classes if complete else ():
        if name not in known:
            raise DataError(f"class {name!r}: 0 training examples at any site; add some")
    tested = {example.content for example in test}
    deduplicator = Deduplicator()
    sites = []
    for name in sorted(by_site):
        site_test = deduplicator.test(held_out["test"].get(name, ()))
        given = held_out["validation"].get(name, ())
        validated = _Source.of("validation", given, deduplicator, test=tested)
        contents = {example.content for example in validated.left}
        others = {"test": tested, "validation": contents}
        trained = _Source.of("train", by_site[name], deduplicator, **others)
        splitter = _SiteSplitter(task, name, sizes or SplitSizes(), seed)
        sites.append(splitter.split(trained, validated if given else None, site_test))
    return Split(tuple(sites), deduplicator.report)


def _classes(task: Task, examples: Iterable[Example]) -> set[str]:
    return {task.classes[task.class_of(example.label)] for example in examples}


def _by_site(examples: Iterable[Example]) -> _BySite:
    groups = defaultdict(list)
    for example in examples:
        groups[example.site or _DEFAULT_SITE].append(example)
    return groups


def _check_sites(train: _BySite, parts: Mapping[str, _BySite]) -> None:
    if not train:
        raise DataError("train: there are no examples; name a training file with at least one row")
    for part, groups in parts.items():
        for name, examples in groups.items():
            if name not in train:
                raise DataError(
                    f"{part}: {examples[0].origin or 'an example'} belongs to site {name!r}, which"
                    f" has no training examples; sites with some: {listed(sorted(train))}"
                    f"{did_you_mean(name, train)}"
                )


def merge_sites(sites: Sequence[SiteData]) -> SiteData:
    """Merge the data of several sites into one, for a centralised method.

    A text that is in different parts at different sites stays in the last of pool, train,
    validation, test.
    """
    test = without_repeats(_joined(site.test for site in sites), keep_contradictions=True).examples
    taken = {example.content for example in test}
    decided: list[tuple[Example, ...]] = []
    for part in ("validation", "train", "pool"):
        every = _joined(getattr(site, part) for site in sites)
        kept = without_repeats(without(every, taken)).examples
        taken |= {example.content for example in kept}
        decided.append(tuple(kept))
    validation, train, pool = decided
    return SiteData(MERGED_SITE, pool, train, validation, tuple(test))


def _joined(parts: Iterable[Iterable[Example]]) -> list[Example]:
    return [example for part in parts for example in part]


def seeded_order(examples: Iterable[Example], *salt: object) -> list[Example]:
    """Order examples by a keyed hash of text and label: random, yet the same on every machine.

    Parameters
    ----------
    examples : iterable of Example
    *salt : object
        Seed and purpose, as ``str``: another salt is another order.
    """
    key = blake2b("\x1f".join(map(str, salt)).encode()).digest()

    def place(example: Example) -> bytes:
        text = "\x1f".join(part for pair in example.content for part in pair)
        return blake2b(f"{text}\x1f{example.label}".encode(), key=key, digest_size=16).digest()

    return sorted(examples, key=place)


@dataclass(frozen=True)
class _Source:
    """A site's examples that parts are drawn from.

    Parameters
    ----------
    part : str
        ``train`` or ``validation``.
    read : sequence of Example
        All that the site was given.
    left : sequence of Example
        Those that are no duplicates.
    others : mapping of str to collection of Content
        Texts of other parts, which are duplicates here.
    """

    part: str
    read: Sequence[Example]
    left: Sequence[Example]
    others: Mapping[str, Collection[Content]]

    @classmethod
    def of(
        cls,
        part: str,
        read: Sequence[Example],
        deduplicator: Deduplicator,
        **others: Collection[Content],
    ) -> Self:
        """Remove duplicates."""
        return cls(part, read, deduplicator.decision(part, read, **others), others)

    def lack_text(self, members: Sequence[Example], left: int, needed: str) -> str:
        """Say how few of a class's members are left, why, and what to do."""
        read = len(members)
        name = "training" if self.part == "train" else self.part
        found = f"{counted(left, f'{name} example')}, {needed}"
        gone = []
        for other, contents in self.others.items():
            unlike = without(members, contents)
            if len(unlike) < len(members):
                gone.append(f"{len(members) - len(unlike):,} occur in {other}")
            members = unlike
        if len(members) > left:
            gone.append(f"{len(members) - left:,} stand there twice or with two labels")
        if not gone:
            return f"{found}; add some"
        return f"{found}; of {read:,} that were read, {' and '.join(gone)}; add others"


@dataclass(frozen=True)
class _SiteSplitter:
    """Splits the deduplicated examples of one site."""

    task: Task
    name: str
    sizes: SplitSizes
    seed: int

    def split(
        self, train: _Source, validation: _Source | None, test: Sequence[Example]
    ) -> SiteData:
        """Draw the parts; without `validation`, its queries come from `train` too."""
        wanted = {"pool": self.sizes.pool_per_class, "train": self.sizes.train_per_class}
        if validation is None:
            wanted["validation"] = self.sizes.validation_per_class
        known = _classes(self.task, train.read)
        drawn = self._draw(train, known, wanted)
        if validation is not None:
            known |= _classes(self.task, validation.read)
            drawn |= self._validation(validation, known)
        return SiteData(
            self.name,
            tuple(drawn["pool"]),
            tuple(drawn["train"]),
            tuple(drawn["validation"]),
            tuple(test),
        )

    def _validation(self, source: _Source, known: Collection[str]) -> dict[str, list[Example]]:
        if not source.left:
            raise DataError(
                f"site {self.name!r}: no validation example is left after duplicates of test data"
                " were removed; add others"
            )
        if self.sizes.validation_per_class is None:
            return {"validation": self._ordered(source.left)}
        return self._draw(source, known, {"validation": self.sizes.validation_per_class})

    def _draw(
        self, source: _Source, known: Collection[str], wanted: Mapping[str, int | None]
    ) -> dict[str, list[Example]]:
        """Draw parts from the classes that the site has."""
        by_class = defaultdict(list)
        for example in self._ordered(source.left):
            by_class[self.task.class_of(example.label)].append(example)
        drawn: dict[str, list[Example]] = {part: [] for part in wanted}
        for index, name in enumerate(self.task.classes):
            if name not in known:
                continue
            members = by_class[index]
            self._check(source, index, len(members), wanted)
            for part, count in _shares(len(members), wanted).items():
                drawn[part] += members[:count]
                members = members[count:]
        return {part: self._ordered(members) for part, members in drawn.items()}

    def _ordered(self, examples: Iterable[Example]) -> list[Example]:
        return seeded_order(examples, self.seed, self.name, "split")

    def _check(
        self, source: _Source, index: int, have: int, wanted: Mapping[str, int | None]
    ) -> None:
        need = sum(count or 1 for count in wanted.values())
        if have >= need:
            return
        parts = " + ".join(f"{count or 'at least 1'} for {part}" for part, count in wanted.items())
        lower: list[str] = []
        for part, count in wanted.items():
            if count and have >= len(wanted):
                lower += [" or " if lower else ", or lower ", Setting(f"{part}_per_class")]
        read = [each for each in source.read if self.task.class_of(each.label) == index]
        lack = source.lack_text(read, have, f"{need} needed ({parts})")
        raise DataError(f"site {self.name!r}, class {self.task.classes[index]!r}: {lack}", *lower)


def _shares(have: int, wanted: Mapping[str, int | None]) -> dict[str, int]:
    left = have - sum(count or 0 for count in wanted.values())
    open_parts = [part for part, count in wanted.items() if count is None]
    shares = {part: count for part, count in wanted.items() if count is not None}
    for index, part in enumerate(open_parts):
        # Rounded up for the earlier parts: training queries come before validation queries.
        shares[part] = -(-(left - index) // len(open_parts))
    return {part: shares[part] for part in wanted}
