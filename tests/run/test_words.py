"""The vocabulary made of the sites' texts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyndbt.errors import ConfigError
from asyndbt.pocket import dataset
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


def demo_sites() -> list[SiteData]:
    examples: dict[str, list[Example]] = {}
    for row in dataset("sentiment-consumer", "train"):
        example = Example({"text_a": row["text_a"]}, row["label"], row["site"])
        examples.setdefault(row["site"], []).append(example)
    pools = {site: {e.content: e for e in held[:40]} for site, held in examples.items()}
    return [SiteData(site, tuple(pool.values()), (), (), ()) for site, pool in pools.items()]


def config(least: int = 2) -> Any:
    method = SimpleNamespace(vocabulary="pmi", vocabulary_limit=None, vocabulary_min_sites=least)
    return SimpleNamespace(method=method, run=SimpleNamespace(seed=0))


def test_ngrams_of_two_sites_or_more_those_of_most_sites_first_then_by_alphabet() -> None:
    assert resolve_vocabulary(config(), [site(name) for name in TEXTS]) == ("alpha", "gate", "beta")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (2, ("really", "so", "truly", "very", "the", "tiny")),
        (3, ("really", "so", "truly", "very")),
    ],
)
def test_the_words_of_the_demo_data(
    least: int, expected: tuple[str, ...], order: tuple[int, ...]
) -> None:
    sites = demo_sites()
    assert resolve_vocabulary(config(least), [sites[index] for index in order]) == expected


def test_a_single_site_keeps_all_its_ngrams_most_frequent_first() -> None:
    words = resolve_vocabulary(config(), demo_sites()[:1])
    assert len(words) == 28
    assert words[:5] == ("i found", "the", "interestingly", "the acting", "frankly")


def test_more_sites_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"method\.vocabulary_min_sites: 4 given for 3 sites"):
        resolve_vocabulary(config(4), [site(name) for name in TEXTS])
