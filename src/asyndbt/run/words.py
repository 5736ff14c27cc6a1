"""Which words a run's fragments choose from."""

from __future__ import annotations

import hashlib
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
    that at least ``vocabulary_min_sites`` sites propose on their own.

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
        words = _shared(own, method.vocabulary_min_sites, config.run.seed)[:limit]
    if len(words) < 2:
        raise DataError(
            f'method.vocabulary = "pmi" leaves {len(words)} n-grams that the sites share; use '
            '"builtin", a file, or lower method.vocabulary_min_sites'
        )
    return tuple(words)


def _shared(own: dict[str, list[str]], least: int, seed: int) -> list[str]:
    """N-grams that several sites propose by hash alone, those of most sites first."""
    key = hashlib.sha256(f"n-grams of run {seed}".encode()).digest()
    agreed = agree({name: propose(words, key) for name, words in own.items()}, least)
    return reveal(set(chain.from_iterable(own.values())), key, agreed)


def _texts(site: SiteData) -> Iterable[str]:
    return [text for example in (*site.pool, *site.train) for text in example.fields.values()]
