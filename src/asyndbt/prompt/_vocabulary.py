"""Vocabularies of the fragment: the built-in one, the pocket model's, or a text file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from asyndbt._spelling import composed
from asyndbt._text import counted, did_you_mean, shorten
from asyndbt.errors import DataError

LONGEST_ENTRY: Final = 200
"""Characters of an entry."""


def load_vocabulary(spec: str, base: Path) -> tuple[str, ...]:
    """Load the entries that a fragment's positions choose from.

    Parameters
    ----------
    spec : str
        ``"builtin"`` (instruction words and short hints), ``"pocket"`` (the words that the pocket
        model knows), or the path of a UTF-8 text file with one entry a line.
    base : pathlib.Path
        Folder that a path is relative to.

    Returns
    -------
    tuple of str
        Distinct entries in order: words, n-grams or whole hints.

    Raises
    ------
    DataError
        If the file is missing, has fewer than 2 entries, or an entry is too long.

    Examples
    --------
    >>> load_vocabulary("builtin", Path())[:3]
    ('carefully', 'think', 'step')
    """
    if spec in _NAMED:
        return _NAMED[spec]()
    path = base / spec
    entries = _distinct(_entries(path, spec))
    if len(entries) < 2:
        raise DataError(
            f"{path.name}: {counted(len(entries), 'entry', 'entries')}; a vocabulary needs 2 or "
            "more, one a line"
        )
    return entries


def read_entries(path: Path) -> tuple[str, ...]:
    """Return the distinct entries of a file in order, even if they are too few for a vocabulary.

    Raises
    ------
    DataError
        If the file is missing, or an entry is too long.
    """
    return _distinct(_entries(path, str(path)))


def repeated_entries(spec: str, base: Path) -> str:
    """Return a remark on entries that a vocabulary has more than once; empty if there are none.

    Parameters and errors are those of `load_vocabulary`, which merges them.
    """
    if spec in _NAMED:
        return ""
    path = base / spec
    first_line: dict[str, int] = {}
    repeated: list[str] = []
    for number, entry in _entries(path, spec):
        if entry in first_line:
            repeated.append(f"{entry!r} (lines {first_line[entry]} and {number})")
        first_line.setdefault(entry, number)
    if not repeated:
        return ""
    many = counted(len(repeated), "repeated entry", "repeated entries")
    return f"{path.name}: {many} merged, such as {repeated[0]}"


def _entries(path: Path, spec: str) -> Iterator[tuple[int, str]]:
    """Yield the entries with the numbers of their lines, repeated ones too."""
    for number, line in enumerate(_lines(path, spec), start=1):
        entry = " ".join(composed(line).split())
        if len(entry) > LONGEST_ENTRY:
            raise DataError(
                f"{path.name} line {number}: the entry {shorten(entry)} has {len(entry)}"
                f" characters, {LONGEST_ENTRY} are allowed; put one entry on a line"
            )
        if entry:
            yield number, entry


def _distinct(entries: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry for _, entry in entries))


def _lines(path: Path, spec: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(
            f"vocabulary {spec!r}: neither {' nor '.join(map(repr, _NAMED))} nor a file that can be"
            f" read ({path}: {error.strerror}){did_you_mean(spec, _NAMED)}"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: not UTF-8 text; save the file as UTF-8") from None


def _builtin() -> tuple[str, ...]:
    return WORDS + HINTS


def _pocket() -> tuple[str, ...]:
    # Imported late: it brings a whole model, which other vocabularies do not need.
    from asyndbt.pocket import fragment_vocabulary

    return fragment_vocabulary()


_NAMED: Final[dict[str, Callable[[], tuple[str, ...]]]] = {"builtin": _builtin, "pocket": _pocket}


_WORDS: Final = """
    carefully think step only answer respond exactly first consider meaning context decide compare
    both literal intent tone topic evidence reason briefly directly precisely judge overall
    sentence word phrase question statement detail key main implied stated explicit negation
    exception irony sarcasm hedge fact opinion claim premise conclusion relation difference
    similarity cause effect subject object verb grammar order number name time place expert
    strict lenient neutral objective honest confident cautious likely certain always never
    ignore focus check verify read again twice slowly before after then finally label option
    choose select pick match follow examples pattern style above below given following format
    single one lowercase reply output nothing else please important note remember avoid guess
"""

WORDS: Final = tuple(_WORDS.split())
"""Single words, distinct."""

HINTS: Final = (
    "think step by step",
    "read the text twice",
    "answer with one word",
    "consider the full context",
    "decide before you answer",
    "compare both texts word by word",
    "follow the examples above",
    "use the labels as shown",
    "watch out for negations",
    "judge the meaning, not the wording",
    "ignore names and numbers",
    "be careful and precise",
    "focus on the main claim",
    "do not guess from single words",
    "choose the most likely answer",
)
"""Short hints of three to six words."""
