import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError
from asyndbt.prompt import agree, pmi_ngrams, propose, reveal

KEY = bytes(range(16))
Ngrams = st.lists(st.sampled_from(["cell", "base station", "hand over", "core", "ünit"]))


def test_words_that_belong_together_stay_together() -> None:
    texts = [
        "The radio access network failed.",
        "A radio access network is slow; the unit failed.",
        "Check the radio access network, the unit and a core.",
        "The core is slow. A unit is slow.",
    ]
    found = pmi_ngrams(texts, 20)
    assert "radio access network" in found
    assert "is slow" in found
    assert "radio" not in found
    assert not any("slow the" in ngram or "network the" in ngram for ngram in found)


def test_most_frequent_first_and_ties_in_alphabetical_order() -> None:
    texts = ["b a", "a b", "c a", "b", "d", "c"]
    assert pmi_ngrams(texts, 9, threshold=9) == ["a", "b", "c"]
    assert pmi_ngrams(texts, 2, threshold=9) == ["a", "b"]
    assert pmi_ngrams(texts, 9, threshold=9, min_count=1)[-1] == "d"


@given(st.lists(st.text(alphabet="ab c.\n"), max_size=20), st.integers(1, 4), st.integers(1, 3))
def test_an_ngram_stands_in_the_texts_and_keeps_to_the_limits(
    texts: list[str], max_n: int, min_count: int
) -> None:
    found = pmi_ngrams(texts, 5, max_n=max_n, min_count=min_count, threshold=0)
    assert len(found) == len(set(found)) <= 5
    joined = [" ".join(text.split()) for text in texts]
    for ngram in found:
        assert 1 <= len(ngram.split()) <= max_n
        assert sum(text.count(ngram) for text in joined) >= min_count
    assert found == pmi_ngrams(texts[::-1], 5, max_n=max_n, min_count=min_count, threshold=0)


@given(st.dictionaries(st.sampled_from(["n", "s", "e", "w"]), Ngrams, min_size=1), st.data())
def test_sites_learn_exactly_their_ngrams_that_k_sites_have(
    ngrams: dict[str, list[str]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(ngrams)))
    agreed = agree({site: propose(own, KEY) for site, own in ngrams.items()}, k)
    common = {
        ngram
        for own in ngrams.values()
        for ngram in own
        if sum(ngram in other for other in ngrams.values()) >= k
    }
    assert len(agreed) == len(common)
    for own in ngrams.values():
        assert set(reveal(own, KEY, agreed)) == common & set(own)
        assert len(reveal(own, KEY, agreed)) == len(common & set(own))
    turned = dict(reversed(ngrams.items()))
    assert agree({site: propose(own, KEY) for site, own in turned.items()}, k) == agreed


def test_proposals_hold_no_text_and_depend_on_the_key() -> None:
    proposal = propose(["base station", "cell", "cell"], KEY)
    assert len(proposal) == 2
    assert proposal == sorted(proposal)
    assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in proposal)
    assert not set(proposal) & set(propose(["base station", "cell"], KEY[::-1]))


def test_a_site_has_one_vote() -> None:
    assert agree({"north": ["aa", "aa"], "south": ["bb"]}, 2) == []


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"^k: 3 given for 2 sites; it must be"):
        agree({"north": [], "south": []}, 3)
    with pytest.raises(ConfigError, match="key: 4 bytes given; use 16 random bytes or more"):
        propose(["cell"], b"1234")
    with pytest.raises(ConfigError, match="limit 0, max_n 3, min_count 2: each must be 1 or more"):
        pmi_ngrams(["a"], 0)
