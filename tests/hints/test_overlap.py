"""Nothing that a site's texts say word for word gets past the filter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyndbt.hints import LocalTexts

WORDS = st.sampled_from(
    [
        "the",
        "plot",
        "was",
        "thin",
        "but",
        "every",
        "actor",
        "seemed",
        "to",
        "have",
        "fun",
        "with",
        "it",
    ]
)
SENTENCE = st.lists(WORDS, min_size=1, max_size=14)
JOINT = st.sampled_from([" ", ", ", " - ", "\n", "... "])


@st.composite
def hint_and_texts(draw: st.DrawFn) -> tuple[list[str], list[list[str]], str]:
    """Words of a hint, some of them taken from a text in a row, and the hint as it is written."""
    texts = draw(st.lists(SENTENCE, min_size=1, max_size=4))
    source = draw(st.sampled_from(texts))
    start = draw(st.integers(0, len(source) - 1))
    taken = source[start : start + draw(st.integers(0, 8))]
    hint = [*draw(SENTENCE)[:5], *taken, *draw(SENTENCE)[:5]]
    written = "".join(
        (word.upper() if draw(st.booleans()) else word) + draw(JOINT) for word in hint
    )
    return hint, texts, written


def share_in_a_row(one: list[str], other: list[str], length: int) -> bool:
    return any(
        one[i : i + length] == other[j : j + length]
        for i in range(len(one) - length + 1)
        for j in range(len(other) - length + 1)
    )


@settings(max_examples=200, deadline=None)
@given(hint_and_texts(), st.integers(2, 7))
def test_no_hint_that_passes_shares_so_many_words_in_a_row(
    drawn: tuple[list[str], list[list[str]], str], ngram: int
) -> None:
    hint, texts, written = drawn
    local = LocalTexts([" ".join(words) for words in texts], ngram)
    if not local.has_copied(written):
        assert not any(share_in_a_row(hint, words, ngram) for words in texts)


@settings(max_examples=100, deadline=None)
@given(st.lists(SENTENCE, min_size=1, max_size=4), st.data())
def test_a_part_of_a_text_does_not_pass_by_itself(
    texts: list[list[str]], data: st.DataObject
) -> None:
    source = data.draw(st.sampled_from([words for words in texts if len(words) > 2] or [["a"] * 3]))
    local = LocalTexts([" ".join(words) for words in (*texts, source)], 5)
    assert local.has_copied(" ".join(source[:4]))


@pytest.mark.parametrize(
    ("hint", "copied"),
    [
        ("Look for what the patient said about pain.", False),
        ("Trust what Miller writes.", True),
        ("Miller is always right.", True),
        ("Values above 137 are bad.", True),
        ("Values above 100 are bad.", False),
        ("The dose decides. Always look at the dose.", False),
        ("Ask whether Aspirin was given.", True),
        ("Patients who improve are fine.", False),
        ("the patient was given", True),
        ("Watch for fever: fever decides.", False),
    ],
)
def test_names_and_numbers_of_the_texts_stay_and_the_words_of_all_pass(
    hint: str, copied: bool
) -> None:
    texts = [
        "Always the patient was given Aspirin by Dr. Miller, 137 mg, the dose for a fever",
        "A patient always says so",
    ]
    assert LocalTexts(texts, 5).has_copied(hint) == copied


def test_words_of_the_task_are_no_secret() -> None:
    texts, hint = ["Bought in Rome"], "Ask whether it is about Rome."
    assert LocalTexts(texts, 5).has_copied(hint)
    assert not LocalTexts(texts, 5, ["Is this about Rome? {text}"]).has_copied(hint)


def test_signs_count_as_words_where_there_are_no_spaces() -> None:
    local = LocalTexts(["这部电影的情节非常无聊"], 5)
    assert local.has_copied("注意情节非常无聊的说法")
    assert not local.has_copied("请注意否定词和讽刺语气")
