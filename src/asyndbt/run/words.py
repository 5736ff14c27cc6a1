"""Which words a run's fragments choose from."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from asyndbt.config import Config
from asyndbt.errors import DataError
from asyndbt.prompt import agree, load_vocabulary, pmi_ngrams, propose, reveal
from asyndbt.task import SiteData

__all__ = ["agreed_vocabulary"]

_LIMIT = 200


def agreed_vocabulary(config: Config, sites: Sequence[SiteData]) -> tuple[str, ...]:
    """Return the vocabulary that all sites use, in one order.

    ``pmi`` takes n-grams of the sites' own data: from one site all of them, in a federation those
    that at least ``vocabulary_min_sites`` sites propose on their own.  Here all sites are in one
    process, which makes the key and sees every n-gram: a simulation of the protocol, with its
    outcome and without its secrecy.

    Raises
    ------
    DataError
        If fewer than two entries are left.
    """
    method = config.method
    if method.vocabulary != "pmi":
        return load_vocabulary(method.vocabulary, Path())[: method.vocabulary_limit]
    limit = method.vocabulary_limit or _LIMIT
    own = {site.name: pmi_ngrams(_texts(site), limit) for site in sites}
    if len(sites) == 1:
        words = own[sites[0].name]
    else:
        words = _shared(own, method.vocabulary_min_sites)[:limit]
    if len(words) < 2:
        raise DataError(
            f'method.vocabulary = "pmi" leaves {len(words)} n-grams that the sites share; use '
            '"builtin", a file, or lower method.vocabulary_min_sites'
        )
    return tuple(words)


def _shared(own: dict[str, list[str]], least: int) -> list[str]:
    """N-grams that several sites propose by hash alone, those of most sites first.

    The key is new every time.  So that a run can be repeated and resumed, the order does not hang
    on it: of n-grams that equally many sites propose, the first in the alphabet comes first.
    """
    key = secrets.token_bytes(32)
    agreed = agree({name: propose(words, key) for name, words in own.items()}, least)
    votes = Counter(chain.from_iterable(map(set, own.values())))
    return sorted(reveal(votes, key, agreed), key=lambda word: (-votes[word], word))


def _texts(site: SiteData) -> Iterable[str]:
    return [text for example in (*site.pool, *site.train) for text in example.fields.values()]
