"""Words of a text as they are compared."""

from __future__ import annotations

import re
from typing import Final

from asyndbt._spelling import plain_signs

# Thai, Japanese, Chinese: without spaces between words, every sign counts as one.
_SIGNS: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]+")


def spelled_words(text: str) -> list[str]:
    """Return the words of a text without marks and punctuation, in their own cases.

    Examples
    --------
    >>> spelled_words("Don\u2019t trust_it: 3.5 STARS")
    ['Don', 't', 'trust', 'it', '3', '5', 'STARS']
    """
    return _WORD.findall(plain_signs(text))


def words_of(text: str) -> list[str]:
    """Return the words of a text, whatever their case."""
    return [word.casefold() for word in spelled_words(text)]
