"""Which label word an answer in text names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

__all__ = ["parse_label"]

# Thai to Burmese, Khmer, kana, Han, Hangul: words follow each other, or carry particles, unspaced.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_IN_WORD: Final = rf"[^\W_{_UNSPACED}]"
_START: Final = rf"(?<!{_IN_WORD})(?<!{_IN_WORD}[-'’])"
_END: Final = rf"(?!{_IN_WORD})(?![-'’]{_IN_WORD})"
_FRAME: Final = re.compile(r"^[\W_]+|[\W_]+$")


def parse_label(text: str | None, label_words: Sequence[str]) -> int | None:
    """Index of the one label word that an answer names, or None.

    Case, quotes, punctuation and markdown do not matter, and the label may stand in a sentence.  It
    must stand as a word of its own: "yes" is not in "yesterday", nor "related" in "un-related".
    Where one label is part of another, the longer one is read.  A label of one letter is read in
    its own case, unless it is the whole answer: "a" is also an article.  Negations are not
    interpreted: "not great" names "great".

    Parameters
    ----------
    text : str or None
        The answer.
    label_words : sequence of str
        U label words, in class order.

    Returns
    -------
    int or None
        None where no label is named, or two different ones.

    Examples
    --------
    >>> parse_label("The answer is: **Great**.", ["terrible", "great"])
    1
    >>> parse_label("Yes, or rather no.", ["yes", "no"]) is None
    True
    """
    if not text:
        return None
    pattern, names = _compiled(tuple(label_words))
    plain = unicodedata.normalize("NFKC", text)
    named = {match.lastgroup for match in pattern.finditer(plain) if match.lastgroup}
    if not named:
        return names.get(_folded(_FRAME.sub("", plain)))
    return int(named.pop().removeprefix("_")) if len(named) == 1 else None


@lru_cache(maxsize=256)
def _compiled(label_words: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, int]]:
    """Pattern with one group per label, longest first; labels by their folded form."""
    plain = [unicodedata.normalize("NFKC", word).strip() for word in label_words]
    names: dict[str, int] = {}
    for index, word in enumerate(plain):
        names.setdefault(_folded(word), index)
    order = sorted(range(len(plain)), key=lambda index: (-len(plain[index]), index))
    groups = (f"(?P<_{index}>{_one(plain[index])})" for index in order)
    return re.compile(f"{_START}(?:{'|'.join(groups)}){_END}"), names


def _one(word: str) -> str:
    """Pattern of one label word."""
    pattern = r"\s+".join(re.escape(part) for part in word.split())
    return pattern if len(word) == 1 else f"(?i:{pattern})"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
