"""Vocabulary from local texts: words that belong together, and agreement on them across sites.

`pmi_ngrams` follows BDPL (Diao et al., TMLR 2023, arXiv 2201.08531): a text is cut wherever two
neighbouring words have a pointwise mutual information below a threshold,

    pmi(a, b) = log( n(a, b) n / (n(a) n(b)) ),

and the pieces that occur often enough are kept, most frequent first.  Departures: words are split
at punctuation instead of being tokens of one model; a piece that is too long is cut at its weakest
link instead of being dropped, since a site's few texts bind too much; ties have a fixed order.

`propose`, `agree` and `reveal` let sites find the n-grams that at least k of them have, without
sending a text: they send keyed hashes.
"""

from __future__ import annotations

import hmac
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from asyndbt.errors import ConfigError, Setting

__all__ = ["agree", "pmi_ngrams", "propose", "reveal"]

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


def propose(ngrams: Iterable[str], key: bytes) -> list[str]:
    """Hash n-grams with a key that the sites share (HMAC-SHA256).

    This hides n-grams from whoever does not hold the key, such as the coordinator.  It does not
    hide them from whoever does: n-grams are short, so a key holder can hash a dictionary and
    compare.  Use a key that the sites agree on among themselves, and a new one for every run.

    Parameters
    ----------
    ngrams : iterable of str
    key : bytes
        At least 16 bytes.

    Returns
    -------
    list of str
        Hexadecimal hashes, sorted, so that the order tells nothing.

    Raises
    ------
    ConfigError
        If the key is shorter.
    """
    return sorted({_hash(ngram, key) for ngram in ngrams})


def agree(proposals: Mapping[str, Sequence[str]], k: int) -> list[str]:
    """Keep the hashes that at least k sites propose.

    Parameters
    ----------
    proposals : mapping of str to sequence of str
        Hashes by site; a hash that a site sends twice counts once.
    k : int
        Sites that must have an n-gram before it leaves any of them.

    Returns
    -------
    list of str
        Those of most sites first; ties in the order of the hashes.

    Raises
    ------
    ConfigError
        If k is below 1 or above the number of sites.

    Examples
    --------
    >>> agree({"north": ["aa", "bb"], "south": ["bb", "cc"]}, 2)
    ['bb']
    """
    if not 1 <= k <= len(proposals):
        raise ConfigError(
            Setting("k"), f": {k} given for {len(proposals)} sites; it must be 1 to that number"
        )
    votes = Counter(digest for hashes in proposals.values() for digest in set(hashes))
    kept = [(-count, digest) for digest, count in votes.items() if count >= k]
    return [digest for _, digest in sorted(kept)]


def reveal(ngrams: Iterable[str], key: bytes, agreed: Sequence[str]) -> list[str]:
    """Return this site's n-grams among the agreed ones, in the agreed order.

    Agreed n-grams are no longer secret: every site that has one may say it, which is how the other
    sites, up to ``sites - k`` of them, come to know it.

    Examples
    --------
    >>> key = bytes(16)
    >>> agreed = agree(
    ...     {"north": propose(["base station", "cell"], key), "south": propose(["cell"], key)}, 2
    ... )
    >>> reveal(["base station", "cell"], key, agreed)
    ['cell']
    """
    known = {_hash(ngram, key): ngram for ngram in ngrams}
    return [known[digest] for digest in agreed if digest in known]


def _hash(ngram: str, key: bytes) -> str:
    if len(key) < 16:
        raise ConfigError(f"key: {len(key)} bytes given; use 16 random bytes or more")
    return hmac.digest(key, ngram.encode(), "sha256").hex()
