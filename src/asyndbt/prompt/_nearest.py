"""Demonstrations that are found for every query: the example that is nearest to it.

Source: Liu et al., "What makes good in-context examples for GPT-3?", DeeLIO 2022, arXiv 2101.06804
(KATE). Departure: a place of the prompt may have such a rule, or an example that is the same for
every query, and which of the two is left to whoever fills the place.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from asyndbt.optim import IntArray
from asyndbt.prompt._vectors import Vectors, nearest_rows
from asyndbt.task import Example

_MOST_KEPT: Final = 4_000_000
"""Ranks that are kept, 32 MB: of all queries of a site while it tunes, and not of all that an
endpoint is ever asked."""


@dataclass(frozen=True)
class Nearest:
    """A rule in place of an example: the one on a shelf that is nearest to the query.

    Parameters
    ----------
    similarity : str
        An encoder of `Vectors`; texts are compared by the cosine. TF-IDF is fitted to the shelf.
    shelf : tuple of Example
        What is chosen from; of examples equally near, the first.

    Examples
    --------
    >>> rule = Nearest("tfidf", (Example({"a": "red fox"}, "1"), Example({"a": "blue whale"}, "1")))
    >>> str(rule)
    'nearest to the query (tfidf)'
    >>> (ranked,) = rule.ranked([Example({"a": "a blue car"}, "")])
    >>> [each.fields["a"] for each in ranked]
    ['blue whale', 'red fox']
    """

    similarity: str
    shelf: tuple[Example, ...]

    def __str__(self) -> str:
        return f"nearest to the query ({self.similarity})"

    @property
    def label(self) -> str | None:
        """The label of all examples on the shelf; None if they differ."""
        labels = {example.label for example in self.shelf}
        return labels.pop() if len(labels) == 1 else None

    def ranked(self, queries: Sequence[Example]) -> list[Iterator[Example]]:
        """Return the whole shelf for each query, nearest first.

        Raises
        ------
        MissingExtraError
            If the package that compares texts is not installed.
        ConfigError
            If the encoder cannot be loaded.
        DataError
            If it knows nothing of the shelf.
        """
        return [map(self.shelf.__getitem__, row) for row in self._ranking.rows(queries)]

    def prepare(self) -> None:
        """Load what `ranked` needs; raises as it does."""
        _ = self._ranking

    @cached_property
    def _ranking(self) -> _Ranking:
        return _ranking_of(self.similarity, self.shelf)


Demonstration = Example | Nearest
"""What a place of the prompt shows: an example, or the one that a rule finds for the query."""


def examples_in(demonstrations: Iterable[Demonstration]) -> Iterator[Example]:
    """Yield every example that these may show."""
    for each in demonstrations:
        yield from (each,) if isinstance(each, Example) else each.shelf


class _Ranking:
    """A shelf's vectors, and the neighbours of queries met so far."""

    def __init__(self, similarity: str, shelf: Sequence[Example]) -> None:
        self._vectors = Vectors(similarity, shelf)
        self._placed = self._vectors.encode(shelf)
        self._known: dict[Example, IntArray] = {}

    def rows(self, queries: Sequence[Example]) -> list[IntArray]:
        """Return the (V,) indices of the shelf for each query, nearest first."""
        if len(self._known) * len(self._placed) > _MOST_KEPT:
            self._known = {}
        known = self._known  # other threads may replace it meanwhile
        new = [query for query in dict.fromkeys(queries) if query not in known]
        if new:
            found = nearest_rows(self._vectors.encode(new), self._placed, len(self._placed))
            known.update(zip(new, found, strict=True))
        return [known[query] for query in queries]


@lru_cache(maxsize=256)
def _ranking_of(similarity: str, shelf: tuple[Example, ...]) -> _Ranking:
    """Return the ranking of a shelf: slots share it, and so do prompts that are loaded again."""
    return _Ranking(similarity, shelf)


def shown_to(
    demonstrations: Sequence[Demonstration], queries: Sequence[Example]
) -> list[tuple[Example, ...]]:
    """Return the examples that each query is shown, in the order of the demonstrations.

    A rule takes the nearest one that the prompt does not show yet: not the fixed ones, wherever
    they stand, and not those of the rules before it. So rules that have a shelf in common show the
    nearest, the next nearest, and so on.

    Raises
    ------
    AsyndbtError
        As `Nearest.ranked` does.
    """
    fixed = {each for each in demonstrations if isinstance(each, Example)}
    taken = [set(fixed) for _ in queries]
    places: list[Sequence[Example]] = []
    for each in demonstrations:
        if isinstance(each, Example):
            places.append([each] * len(queries))
            continue
        found = [
            next(near for near in row if near not in shown)
            for row, shown in zip(each.ranked(queries), taken, strict=True)
        ]
        for near, shown in zip(found, taken, strict=True):
            shown.add(near)
        places.append(found)
    return [tuple(place[number] for place in places) for number in range(len(queries))]


def with_nearest(
    slots: Sequence[tuple[Example, ...]], groups: Sequence[Hashable], similarities: Sequence[str]
) -> tuple[tuple[Demonstration, ...], ...]:
    """Let every slot choose the example nearest to the query as well.

    Parameters
    ----------
    slots : sequence of tuple of Example
        U slots of V candidates, no example in two of them.
    groups : sequence of hashable
        Of each slot: rules choose among the candidates of all slots of their group.
    similarities : sequence of str
        R similarities: every slot gets a rule for each, behind its examples.

    Returns
    -------
    tuple of tuple of Demonstration
        U slots of V + R candidates.

    Raises
    ------
    AsyndbtError
        As `Nearest.ranked` does.
    """
    shelves: dict[Hashable, tuple[Example, ...]] = {}
    for group, slot in zip(groups, slots, strict=True):
        shelves[group] = (*shelves.get(group, ()), *slot)
    rules = {
        group: tuple(Nearest(similarity, shelf) for similarity in similarities)
        for group, shelf in shelves.items()
    }
    for rule in (rule for each in rules.values() for rule in each):
        rule.prepare()
    return tuple((*slot, *rules[group]) for group, slot in zip(groups, slots, strict=True))
