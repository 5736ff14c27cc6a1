"""Which label an answer names: a table of answers, and what holds for all."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from asyndbt.lm import parse_label

GREAT = ("terrible", "great")
TABLE = [
    json.loads(line)
    for line in (Path(__file__).parent / "answers.jsonl").read_text("utf-8").splitlines()
]


def test_every_answer_of_the_table_is_read_as_a_person_reads_it() -> None:
    assert len(TABLE) > 200
    for row in TABLE:
        index = parse_label(row["answer"], row["labels"])
        assert (None if index is None else row["labels"][index]) == row["read"], row


def test_nothing_names_no_label() -> None:
    assert parse_label(None, GREAT) is None


# ------------------------------------------------------------------ never a wrong label
MARKS = st.text(" .,:;!?*\"'()[]{}<>#`~“”‘’«»…\n\t\u200b\u00a0", max_size=6)
LETTERS = st.text("abcdefghxyzäéñøšžабвгдαβγ", min_size=2, max_size=6)
CASES = st.sampled_from([str.upper, str.lower, str.title, str.swapcase])
WORDS = st.lists(
    st.sampled_from(
        ("the", "film", "plot", "was", "a", "is", "rather", "very", "good", "I", "so", "of")
    ),
    max_size=6,
).map(" ".join)
FORMS = st.sampled_from(
    [
        "{}",
        "Answer: {}",
        "The answer is {}.",
        '{{"label": "{}"}}',
        '{{"reason": "hardly {other}", "answer": "{}"}}',
        "\\boxed{{{}}}",
        "<answer>{}</answer>",
        "**{}**",
        "{0}\n\nExplanation: rather {0} than {other}, as one might think.",
        "One might think {other}.\n\nFinal answer: {}",
    ]
)


@given(st.sampled_from([0, 1]), FORMS, MARKS, MARKS, CASES)
def test_a_label_that_is_given_is_read_in_any_form(index, form, before, after, case) -> None:
    word, other = case(GREAT[index]), GREAT[1 - index]
    assert parse_label(form.format(word, other=other), GREAT) == index
    assert parse_label(f"{before}{word}{after}", GREAT) == index
    assert parse_label(f"The answer is {word}{after}", GREAT) == index


@given(st.sampled_from([0, 1]), WORDS, WORDS, MARKS)
def test_a_sentence_with_one_label_is_never_read_as_another(index, before, after, marks) -> None:
    found = parse_label(f"{before} {GREAT[index]}{marks} {after}", GREAT)
    assert found in (index, None)


@given(
    st.sampled_from([0, 1]),
    WORDS,
    WORDS,
    st.sampled_from(
        ["not", "isn't", "isn’t", "never", "hardly", "not really", "neither", "far from", "NOT"]
    ),
)
def test_a_label_that_is_negated_is_not_read(index, before, after, negation) -> None:
    assert parse_label(f"{before} {negation} {GREAT[index]} {after}", GREAT) is None


@given(st.permutations(GREAT), WORDS, st.sampled_from(["or", "and", "/", ",", "rather than", "-"]))
def test_two_labels_in_one_sentence_are_none(words, before, link) -> None:
    assert parse_label(f"{before} {words[0]} {link} {words[1]}", GREAT) is None


@given(st.text(max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert parse_label(text, ("yes", "no", "(", "a b", "負")) in {None, 0, 1, 2, 3, 4}


@given(LETTERS, LETTERS)
def test_letters_beside_a_label_make_another_word(label: str, letters: str) -> None:
    assert parse_label(label + letters, (label, "\u4e00")) is None
    assert parse_label(letters + label, (label, "\u4e00")) is None


# ------------------------------------------------------------------ the same in every spelling
ALIKE = {
    "'": "'’‘ʼ′´`＇",
    "-": "-‐‑−﹣－–",
    '"': '"“”„«»＂',
    "1": "1１١۱",
    "é": ["é", "e\u0301"],
    "Å": ["Å", "A\u030a", "\u212b"],
    "a": ["a", "a\u200b", "a\u00ad"],
    " ": [" ", "\u00a0", "\u3000", "\n"],
}
SPELLED = ("don't know", "-1", "café 1", "Ålesund", "well-known")


@given(st.data(), st.sampled_from(range(len(SPELLED))))
def test_a_label_is_the_same_in_all_code_points(data, index) -> None:
    def spelled(text: str) -> str:
        return "".join(data.draw(st.sampled_from(list(ALIKE.get(c, c)))) for c in text)

    labels = [spelled(word) if data.draw(st.booleans()) else word for word in SPELLED]
    assert parse_label(spelled(SPELLED[index]), labels) == index
    assert parse_label(f"It is {spelled(SPELLED[index])}.", labels) == index


NUMBERS = [str(number) for number in range(-3, 21)]


@given(st.integers(-30, 30), st.integers(0, 99), st.sampled_from(".,"), MARKS)
def test_a_number_is_read_by_its_value(whole, part, point, marks) -> None:
    text = f"{whole}{point}{part:02}"
    value = whole if part == 0 else None
    expected = NUMBERS.index(str(value)) if value in range(-3, 21) else None
    assert parse_label(text, NUMBERS) == expected
    plain = NUMBERS.index(str(whole)) if whole in range(-3, 21) else None
    assert parse_label(f"Answer: {whole}", NUMBERS) == plain
    assert parse_label(f"{whole}{marks}", NUMBERS) == plain
