"""Hints of several sites as one list, without those that say nearly the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from asyndbt._text import counted
from asyndbt.errors import DataError
from asyndbt.hints._words import words_of
from asyndbt.prompt import read_entries

_SAME: Final = 0.6
"""Share of the words of two hints that both have, from which on they say the same."""


@dataclass(slots=True)
class _Group:
    """Hints that say nearly the same; `hint` stands for them."""

    hint: str
    words: frozenset[str]
    sites: set[int] = field(default_factory=set)


def pool_hints(by_site: Sequence[Iterable[str]]) -> tuple[str, ...]:
    """Return the hints of all sites: those of most sites first, then those that were written first.

    Parameters
    ----------
    by_site : sequence of iterables of str
        Hints of every site, in the order in which it has them; the order of sites is of no
        consequence.

    Examples
    --------
    >>> north = ["Watch out for irony.", "Read the text twice."]
    >>> south = ["Read the whole text twice.", "Mind negations."]
    >>> pool_hints([north, south])
    ('Read the whole text twice.', 'Watch out for irony.', 'Mind negations.')
    """
    written = sorted(
        (rank, hint, site) for site, hints in enumerate(by_site) for rank, hint in enumerate(hints)
    )
    groups: list[_Group] = []
    for _, hint, site in written:
        words = frozenset(words_of(hint))
        if not words:
            continue
        same = next((group for group in groups if _overlap(group.words, words) >= _SAME), None)
        if same is None:
            same = _Group(hint, words)
            groups.append(same)
        same.sites.add(site)
    groups.sort(key=lambda group: -len(group.sites))
    return tuple(group.hint for group in groups)


def pool_files(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the hints in the files of several sites as `pool_hints` does.

    Raises
    ------
    DataError
        If a file cannot be read, or fewer than two hints are left.
    """
    pooled = pool_hints([read_entries(file) for file in files])
    if len(pooled) < 2:
        raise DataError(
            f"{', '.join(file.name for file in files)}: {counted(len(pooled), 'hint')}, without "
            "those that say nearly the same; a vocabulary needs 2 or more"
        )
    return pooled


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
