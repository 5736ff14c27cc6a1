import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError
from asyndbt.prompt import pmi_ngrams


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


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="limit 0, max_n 3, min_count 2: each must be 1 or more"):
        pmi_ngrams(["a"], 0)
