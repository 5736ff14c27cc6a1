"""The vocabulary that sites agree on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyndbt.errors import ConfigError
from asyndbt.run._inputs import resolve_vocabulary
from asyndbt.task import Example, SiteData

TEXTS = {
    "north": ["gate alpha", "gate beta", "alpha beta", "north secret", "north secret"],
    "south": ["gate beta", "alpha gate", "beta alpha"],
    "west": ["gate alpha", "gate gamma", "gamma alpha"],
}


def site(name: str) -> SiteData:
    pool = tuple(Example({"text_a": text}, "0", name) for text in dict.fromkeys(TEXTS[name]))
    more = tuple(Example({"text_a": f"{text}!"}, "0", name) for text in TEXTS[name][:1])
    return SiteData(name, pool, more, (), ())


def config(least: int = 2) -> Any:
    method = SimpleNamespace(vocabulary="pmi", vocabulary_limit=None, vocabulary_min_sites=least)
    return SimpleNamespace(method=method, run=SimpleNamespace(seed=0))


def test_the_vocabulary_does_not_hang_on_the_key() -> None:
    sites = [site(name) for name in TEXTS]
    words = [resolve_vocabulary(config(), sites) for _ in range(5)]
    assert len(set(words)) == 1
    assert words[0] == ("alpha", "gate", "beta"), "those of most sites first, then the alphabet"


def test_more_sites_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"method\.vocabulary_min_sites: 4 given for 3 sites"):
        resolve_vocabulary(config(4), [site(name) for name in TEXTS])
