import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.lm import parse_label

GREAT = ("Terrible", "Great")
YES = ("No", "Yes")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("Great", GREAT, 1),
        (" great\n", GREAT, 1),
        ("GREAT!", GREAT, 1),
        ('"Great"', GREAT, 1),
        ("‘Great’", GREAT, 1),
        ("«Great»", GREAT, 1),
        ("**Great**", GREAT, 1),
        ("__Great__", GREAT, 1),
        ("`great`.", GREAT, 1),
        ("The answer is: Great.", GREAT, 1),
        ("Answer:Great", GREAT, 1),
        ('{"label": "Great"}', GREAT, 1),
        ("<answer>Great</answer>", GREAT, 1),
        ("Great. I say it again: great.", GREAT, 1),
        ("Great—because it shines", GREAT, 1),
        ("not great", GREAT, 1),
        ("Ｇｒｅａｔ", GREAT, 1),
        ("Great or Terrible", GREAT, None),
        ("Great, not terrible", GREAT, None),
        ("Good", GREAT, None),
        ("", GREAT, None),
        (None, GREAT, None),
        ("greatest", GREAT, None),
        ("yesterday", YES, None),
        ("I know nothing", YES, None),
        ("yes_no", YES, None),
        ("No.", YES, 0),
        ("Yes, it's so", YES, 1),
        ("unrelated", ("related", "unrelated"), 1),
        ("un-related", ("related", "unrelated"), None),
        ("They are not related.", ("related", "not related"), 1),
        ("not\n related", ("related", "not related"), 1),
        ("related, I mean not related", ("related", "not related"), None),
        ("not_entailment", ("entailment", "not_entailment"), 1),
        ("I can't tell", ("t", "can"), None),
        ("A", ("A", "B"), 0),
        ("(b)", ("A", "B"), 1),
        ("It is a B", ("A", "B"), 1),
        ("a difficult one", ("A", "B"), None),
        ("2", ("1", "2"), 1),
        ("12", ("1", "2"), None),
        ("-1", ("1", "-1"), 1),
        ("C++.", ("C", "C++"), 1),
        ("I'd say C", ("C", "C++"), 0),
        ("答案是正面。", ("负面", "正面"), 1),
        ("答案是Yes。", YES, 1),
        ("긍정입니다", ("부정", "긍정"), 1),
        ("STRASSE", ("Straße", "Weg"), 0),
        ("ÉLEVÉ", ("élevé", "bas"), 0),
    ],
)
def test_answers_are_read(text: str | None, labels: tuple[str, ...], expected: int | None) -> None:
    assert parse_label(text, labels) == expected


@given(
    st.sampled_from(GREAT),
    st.text('abc XYZ.,:;!?*"()', max_size=20),
    st.text('abc XYZ.,:;!?*"()', max_size=20),
    st.sampled_from([str.upper, str.lower, str.title]),
)
def test_a_label_that_stands_alone_is_found_in_any_frame(label, before, after, case) -> None:
    assert parse_label(f"{before} {case(label)} {after}", GREAT) == GREAT.index(label)


@given(st.text(max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert parse_label(text, ("yes", "no", "(", "a b", "負")) in {None, 0, 1, 2, 3, 4}
