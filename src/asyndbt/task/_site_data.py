"""What one site holds: four parts that have no text in common.

Examples that occur more than once: found, removed and reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from asyndbt.errors import DataError
from asyndbt.task._task import Example

__all__ = [
    "MERGED_SITE",
    "Content",
    "DuplicateReport",
    "SiteData",
    "Unique",
    "merge_sites",
    "without",
    "without_repeats",
]

MERGED_SITE = "all"
"""Name of the site that holds the data of all."""


@dataclass(frozen=True)
class SiteData:
    """The examples of one site, by what they are for.

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
        Queries that nothing is decided by.

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

    def __post_init__(self) -> None:
        contents = {
            part: {example.content for example in getattr(self, part)}
            for part in ("pool", "train", "validation", "test")
        }
        for first, second in combinations(contents, 2):
            if common := len(contents[first] & contents[second]):
                texts = "1 text occurs" if common == 1 else f"{common} texts occur"
                raise DataError(
                    f"site {self.name!r}: {texts} in {first} and in {second}; a text has one place"
                )


def merge_sites(sites: Sequence[SiteData], name: str = MERGED_SITE) -> SiteData:
    """Put the data of several sites into one, as a method that may pool all data would see it.

    A text that one site has in its pool and another one queries stays where it is asked about:
    in test before validation before train before pool.

    Parameters
    ----------
    sites : sequence of SiteData
    name : str
        Name of the one site.

    Returns
    -------
    SiteData
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
    return SiteData(name, pool, train, validation, tuple(test))


def _joined(parts: Iterable[Iterable[Example]]) -> list[Example]:
    return [example for part in parts for example in part]


Content = tuple[tuple[str, str], ...]
"""What `Example.content` returns."""


@dataclass(frozen=True)
class DuplicateReport:
    """What a split removed because it occurred more than once.

    Parameters
    ----------
    removed : mapping of (str, str) to int
        Examples removed from the first part because they also occur in the second one; both are
        the same part where an example stood there twice.
    contradictions : mapping of str to int
        Examples removed from a part because their text stands there with two labels.

    Examples
    --------
    >>> report = DuplicateReport({("train", "test"): 2, ("train", "train"): 1})
    >>> print(report)
    2 examples of train occur in test too: removed from train
    1 example of train stood there before: removed
    """

    removed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    contradictions: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Examples removed, for whatever reason."""
        return sum(self.removed.values()) + sum(self.contradictions.values())

    def __str__(self) -> str:
        lines = []
        for (part, other), count in self.removed.items():
            if part == other:
                lines.append(f"{_examples(count)} of {part} stood there before: removed")
            else:
                occur = "occurs" if count == 1 else "occur"
                lines.append(
                    f"{_examples(count)} of {part} {occur} in {other} too: removed from {part}"
                )
        lines += [
            f"{_examples(count)} of {part} had a text with two labels: removed"
            for part, count in self.contradictions.items()
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Unique:
    """Examples without repeats, and what was left out."""

    examples: list[Example]
    repeats: int
    contradictions: int


def without_repeats(examples: Iterable[Example], *, keep_contradictions: bool = False) -> Unique:
    """Keep the first of repeated examples, and none of those whose text has two labels.

    Parameters
    ----------
    examples : iterable of Example
    keep_contradictions : bool
        Keep a text once per label: a test file is not to be tidied up.

    Returns
    -------
    Unique
        In the order of `examples`.
    """
    first: dict[tuple[Content, str], Example] = {}
    repeats = 0
    for example in examples:
        key = example.content, example.label
        repeats += key in first
        first.setdefault(key, example)
    labels = Counter(content for content, _ in first)
    kept = [
        example
        for (content, _), example in first.items()
        if keep_contradictions or labels[content] == 1
    ]
    return Unique(kept, repeats, len(first) - len(kept))


def without(examples: Iterable[Example], contents: Collection[Content]) -> list[Example]:
    """Examples whose content is not among `contents`."""
    return [example for example in examples if example.content not in contents]


def _examples(count: int) -> str:
    return "1 example" if count == 1 else f"{count:,} examples"
