"""What one site holds: four parts that have no text in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from asyndbt.errors import DataError
from asyndbt.task.duplicates import without, without_repeats
from asyndbt.task.example import Example

__all__ = ["MERGED_SITE", "SiteData", "merge_sites"]

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
