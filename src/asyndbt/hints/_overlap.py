"""The filter at a site's border: a hint that repeats the site's texts does not leave it.

What is held back, by words without punctuation and case:

* a hint that has `ngram` words in a row that a text of the site has too;
* one of which half or more, three words at least, stand in a text like that;
* one with a word that looks like a name or a number (a capital inside a sentence, a digit) and is
  in a text of the site.

Words of the task, which all sites know, are no names. A single plain word is no copied text: one in
small letters passes, however rare it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from asyndbt.hints._words import spelled_words, words_of

_LEAST_RUN: Final = 3
"""Words in a row that count as copied where they are half of a hint."""
_SENTENCES: Final = re.compile(r"[.!?:;]\s")


class LocalTexts:
    """The texts of a site, to compare hints with.

    Parameters
    ----------
    texts : iterable of str
    ngram : int
        Words in a row of which no hint may share any; 1 or more.
    known : iterable of str
        Texts that everybody knows, such as the instruction.

    Examples
    --------
    >>> local = LocalTexts(["Dr. Miller saw the patient again on Monday morning"], ngram=5)
    >>> local.has_copied("Check whether they saw the patient again on a later day")
    True
    >>> local.has_copied("What Miller says counts for more"), local.has_copied("Read it again")
    (True, False)
    """

    def __init__(self, texts: Iterable[str], ngram: int, known: Iterable[str] = ()) -> None:
        spelled = [spelled_words(text) for text in texts]
        self._ngram = ngram
        self._text = "\n".join(_row(word.casefold() for word in words) for words in spelled)
        public = {word for text in known for word in words_of(text)}
        occurring = {word for words in spelled for word in words}
        small = {word for word in occurring if not _is_name(word)}
        self._words = {word.casefold() for word in occurring} - public
        self._names = self._words - small

    def has_copied(self, hint: str) -> bool:
        """Whether a hint repeats the site's texts."""
        words = words_of(hint)
        longest = min(self._ngram, max(_LEAST_RUN, -(-len(words) // 2)))
        return any(run in self._text for run in _runs(words, longest)) or self._tells_name(hint)

    def _tells_name(self, hint: str) -> bool:
        return any(
            word.casefold() in (self._words if place and _is_name(word) else self._names)
            for sentence in _SENTENCES.split(hint)
            for place, word in enumerate(spelled_words(sentence))
        )


def _runs(words: Sequence[str], size: int) -> Iterator[str]:
    return (_row(words[start : start + size]) for start in range(len(words) - size + 1))


def _row(words: Iterable[str]) -> str:
    """Return words between spaces, so that none is found inside another."""
    return f" {' '.join(words)} "


def _is_name(word: str) -> bool:
    """Whether a word has a digit, or a capital and is no single letter."""
    return (len(word) > 1 and word != word.casefold()) or any(map(str.isdigit, word))
