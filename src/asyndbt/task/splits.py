"""From example lists to what each site holds: parts that never overlap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asyndbt.errors import DataError
from asyndbt.task.drawing import Drawing, SplitSizes
from asyndbt.task.duplicates import Content, DuplicateReport, without, without_repeats
from asyndbt.task.example import Example
from asyndbt.task.site_data import SiteData
from asyndbt.task.task import Task
from asyndbt.task.wording import did_you_mean, listed

__all__ = ["DEFAULT_SITE", "Split", "split_sites"]

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
        drawing = Drawing(task, name, sizes or SplitSizes(), seed)
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
