"""Vocabulary from local texts: words that belong together.

`pmi_ngrams` follows BDPL (Diao et al., TMLR 2023, arXiv 2201.08531): a text is cut wherever two
neighbouring words have a pointwise mutual information below a threshold,

    pmi(a, b) = log( n(a, b) n / (n(a) n(b)) ),

and the pieces that occur often enough are kept, most frequent first.  Departures: words are split
at punctuation instead of being tokens of one model; a piece that is too long is cut at its weakest
link instead of being dropped, since a site's few texts bind too much; ties have a fixed order.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from asyndbt.errors import ConfigError

_PIECES = re.compile(r"[^\w\s'’-]+|\n")
_WORDS = re.compile(r"\w+(?:['’-]\w+)*")


def pmi_ngrams(
    texts: Iterable[str],
    limit: int,
    *,
    max_n: int = 3,
    min_count: int = 2,
    threshold: float = 1.0,
) -> list[str]:
    """Find words and short phrases that are typical of some texts.

    Parameters
    ----------
    texts : iterable of str
    limit : int
        Longest list to return.
    max_n : int
        Longest n-gram, in words.
    min_count : int
        An n-gram must occur so often.
    threshold : float
        Least pointwise mutual information of neighbouring words inside an n-gram, in nats.

    Returns
    -------
    list of str
        Lower-cased, most frequent first; ties in alphabetical order.

    Examples
    --------
    >>> texts = ["the base station failed", "a base station restarts", "the unit failed again"]
    >>> pmi_ngrams(texts, 3)
    ['base station', 'failed', 'the']
    """
    if limit < 1 or max_n < 1 or min_count < 1:
        raise ConfigError(
            f"limit {limit}, max_n {max_n}, min_count {min_count}: each must be 1 or more"
        )
    runs = [words for text in texts for words in _runs(text)]
    single = Counter(word for words in runs for word in words)
    pairs = Counter(pair for words in runs for pair in pairwise(words))
    pmi = {
        (a, b): math.log(count * single.total() / (single[a] * single[b]))
        for (a, b), count in pairs.items()
        if count >= min_count
    }
    bound = {pair for pair, value in pmi.items() if value >= threshold}
    counts = Counter(
        tuple(part)
        for words in runs
        for piece in _pieces(words, bound)
        for part in _shortened(piece, pmi, max_n)
    )
    kept = [(-count, " ".join(piece)) for piece, count in counts.items() if count >= min_count]
    return [ngram for _, ngram in sorted(kept)[:limit]]


def _runs(text: str) -> Iterator[list[str]]:
    """Lower-cased words between punctuation marks."""
    for piece in _PIECES.split(text.lower()):
        if words := _WORDS.findall(piece):
            yield words


def _pieces(words: list[str], bound: set[tuple[str, str]]) -> Iterator[list[str]]:
    """Cut where neighbours are not bound to each other."""
    start = 0
    for end, pair in enumerate(pairwise(words), start=1):
        if pair not in bound:
            yield words[start:end]
            start = end
    yield words[start:]


def _shortened(
    words: list[str], pmi: Mapping[tuple[str, str], float], max_n: int
) -> Iterator[list[str]]:
    """Cut at the weakest link, the middle one of equals, while a piece is too long."""
    uncut = [words]
    while uncut:
        piece = uncut.pop()
        if len(piece) <= max_n:
            yield piece
            continue
        links = [
            (pmi[pair], abs(2 * end - len(piece)), end)
            for end, pair in enumerate(pairwise(piece), 1)
        ]
        end = min(links)[-1]
        uncut += [piece[:end], piece[end:]]
