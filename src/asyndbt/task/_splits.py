"""From example lists to what each site holds: parts that never overlap.

Drawing a site's parts from its examples: per class, seeded, disjoint.

Which example goes where is decided by a keyed hash of seed, site and text, so a split depends on
what the files hold and on the seed alone, not on the order of rows or sites, and a row added later
moves few others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b

from asyndbt._text import did_you_mean, listed
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._site_data import Content, DuplicateReport, SiteData, without, without_repeats
from asyndbt.task._task import Example, Task

__all__ = ["DEFAULT_SITE", "SiteSplitter", "Split", "SplitSizes", "seeded_order", "split_sites"]

DEFAULT_SITE = "local"
"""Site of examples that name none."""

_BySite = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class Split:
    """One `SiteData` per site, by name, and what was removed on the way."""

    sites: tuple[SiteData, ...]
    duplicates: DuplicateReport


def split_sites(
    task: Task,
    train: Sequence[Example],
    validation: Sequence[Example] = (),
    test: Sequence[Example] = (),
    *,
    sizes: SplitSizes | None = None,
    seed: int = 0,
) -> Split:
    """Split examples into what each site holds.

    A text that occurs in two parts is taken out of the earlier one: out of train and validation if
    it occurs in the test data of any site, out of train if it occurs in the site's validation data.
    Texts are compared with every run of white space as one space. Nothing but repeats (same text,
    same label) is taken out of the test data.

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

    Returns
    -------
    Split
        Sites in alphabetical order; pool, training and validation queries in seeded order, test
        data in that of `test`.

    Raises
    ------
    DataError
        If a site has too few examples of a class, or none of a part.

    Examples
    --------
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> examples = [Example({"text_a": f"text {i}"}, str(i % 2)) for i in range(60)]
    >>> (site,) = split_sites(task, examples, test=examples[:4]).sites
    >>> site.name, len(site.pool), len(site.train), len(site.validation), len(site.test)
    ('local', 40, 8, 8, 4)
    """
    by_site = _by_site(train)
    parts = {"validation": _by_site(validation), "test": _by_site(test)}
    _check_sites(by_site, parts)
    tested = {example.content for example in test}
    removed: Counter[tuple[str, str]] = Counter()
    contradictions: Counter[str] = Counter()
    sites = []
    for name in sorted(by_site):
        cleaner = _Cleaner(removed, contradictions)
        site_test = cleaner.test(parts["test"].get(name, ()))
        given = parts["validation"].get(name, ())
        held_out = cleaner.decision("validation", given, test=tested)
        decided = {example.content for example in held_out}
        rest = cleaner.decision("train", by_site[name], test=tested, validation=decided)
        drawing = SiteSplitter(task, name, sizes or SplitSizes(), seed)
        sites.append(drawing.site(rest, held_out if given else None, site_test))
    return Split(tuple(sites), DuplicateReport(dict(removed), dict(contradictions)))


def _by_site(examples: Iterable[Example]) -> _BySite:
    groups = defaultdict(list)
    for example in examples:
        groups[example.site or DEFAULT_SITE].append(example)
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


@dataclass(frozen=True)
class _Cleaner:
    """Takes out what occurs twice, and counts it."""

    removed: Counter[tuple[str, str]]
    contradictions: Counter[str]

    def test(self, examples: Iterable[Example]) -> list[Example]:
        unique = without_repeats(examples, keep_contradictions=True)
        self._count("test", "test", unique.repeats)
        return unique.examples

    def decision(
        self, part: str, examples: Sequence[Example], **others: set[Content]
    ) -> list[Example]:
        left = list(examples)
        for other, contents in others.items():
            before = len(left)
            left = without(left, contents)
            self._count(part, other, before - len(left))
        unique = without_repeats(left)
        self._count(part, part, unique.repeats)
        if unique.contradictions:
            self.contradictions[part] += unique.contradictions
        return unique.examples

    def _count(self, part: str, other: str, count: int) -> None:
        if count:
            self.removed[part, other] += count


@dataclass(frozen=True)
class SplitSizes:
    """How many examples of each class a site uses for what.

    None means: what the parts with a number leave, shared equally among the parts without one.

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


def seeded_order(examples: Iterable[Example], *salt: object) -> list[Example]:
    """Order examples by a keyed hash of their content: random, yet the same on every machine.

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
class SiteSplitter:
    """Draws the parts of one site from its cleaned examples.

    Parameters
    ----------
    task : Task
    name : str
        Name of the site.
    sizes : SplitSizes
    seed : int
    """

    task: Task
    name: str
    sizes: SplitSizes
    seed: int

    def site(
        self, train: Sequence[Example], validation: Sequence[Example] | None, test: list[Example]
    ) -> SiteData:
        """Put the site together; validation queries come from `train` where it is None."""
        wanted = {"pool": self.sizes.pool_per_class, "train": self.sizes.train_per_class}
        if validation is None:
            wanted["validation"] = self.sizes.validation_per_class
        drawn = self._draw("training", train, wanted)
        if validation is not None:
            drawn |= self._validation(validation)
        return SiteData(
            self.name,
            tuple(drawn["pool"]),
            tuple(drawn["train"]),
            tuple(drawn["validation"]),
            tuple(test),
        )

    def _validation(self, examples: Sequence[Example]) -> dict[str, list[Example]]:
        if not examples:
            raise DataError(
                f"site {self.name!r}: no validation example is left after duplicates of test data"
                " were removed; add others"
            )
        if self.sizes.validation_per_class is None:
            return {"validation": self._ordered(examples)}
        return self._draw("validation", examples, {"validation": self.sizes.validation_per_class})

    def _draw(
        self, source: str, examples: Sequence[Example], wanted: Mapping[str, int | None]
    ) -> dict[str, list[Example]]:
        by_class = defaultdict(list)
        for example in self._ordered(examples):
            by_class[self.task.class_of(example.label)].append(example)
        drawn: dict[str, list[Example]] = {part: [] for part in wanted}
        for index, label in enumerate(self.task.labels):
            members = by_class[index]
            self._check(source, label, len(members), wanted)
            for part, count in _shares(len(members), wanted).items():
                drawn[part] += members[:count]
                members = members[count:]
        return {part: self._ordered(members) for part, members in drawn.items()}

    def _ordered(self, examples: Iterable[Example]) -> list[Example]:
        return seeded_order(examples, self.seed, self.name, "split")

    def _check(self, source: str, label: str, have: int, wanted: Mapping[str, int | None]) -> None:
        need = sum(count or 1 for count in wanted.values())
        if have >= need:
            return
        parts = " + ".join(f"{count or 'at least 1'} for {part}" for part, count in wanted.items())
        lower: list[str] = []
        for part, count in wanted.items():
            if count and have >= len(wanted):
                lower += [" or " if lower else ", or lower ", Setting(f"{part}_per_class")]
        raise DataError(
            f"site {self.name!r}, class {label!r}: {have} {source} examples, {need} needed"
            f" ({parts}; duplicates do not count); add some",
            *lower,
        )


def _shares(have: int, wanted: Mapping[str, int | None]) -> dict[str, int]:
    left = have - sum(count or 0 for count in wanted.values())
    open_parts = [part for part, count in wanted.items() if count is None]
    shares = {part: count for part, count in wanted.items() if count is not None}
    for index, part in enumerate(open_parts):
        # Rounded up for the earlier parts: training queries come before validation queries.
        shares[part] = -(-(left - index) // len(open_parts))
    return {part: shares[part] for part in wanted}
