"""A rule shows the nearest example that the prompt does not show yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import DataError, MissingExtraError
from asyndbt.prompt import (
    Demonstration,
    Nearest,
    Vectors,
    _nearest,
    nearest_rows,
    render,
    render_all,
    shown_to,
    with_nearest,
)
from asyndbt.task import Example, Task

TASK = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
WORDS = ("red", "fox", "blue", "whale", "grey", "stone")


def example(text: str, label: str = "1") -> Example:
    return Example({"text_a": text}, label)


def texts(examples: Sequence[Example]) -> list[str]:
    return [each.fields["text_a"] for each in examples]


def query(text: str) -> Example:
    return example(text, "")


SHELF = tuple(map(example, ("red fox", "red fox jumps", "blue whale", "green red", "grey stone")))
RULE = Nearest("tfidf", SHELF)


def test_rules_of_one_shelf_show_the_nearest_and_the_next_nearest() -> None:
    (shown,) = shown_to([RULE] * 3, [query("a red fox jumps")])
    assert texts(shown) == ["red fox jumps", "red fox", "green red"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_neighbour_that_is_shown_anyway_gives_way_wherever_it_stands(place: int) -> None:
    demonstrations: list[Demonstration] = [RULE, RULE]
    demonstrations.insert(place, SHELF[1])
    (shown,) = shown_to(demonstrations, [query("a red fox jumps")])
    expected = ["red fox", "green red"]
    expected.insert(place, "red fox jumps")
    assert texts(shown) == expected


def test_a_query_of_the_shelf_finds_itself() -> None:
    assert [
        texts(shown) for shown in shown_to([RULE], [query("grey stone"), query("red fox")])
    ] == [
        ["grey stone"],
        ["red fox"],
    ]


Texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


@given(
    st.lists(Texts, min_size=8, max_size=12, unique=True),
    st.lists(st.none() | st.integers(0, 7), min_size=1, max_size=4, unique=True),
    st.integers(1, 3),
    st.lists(Texts, min_size=1, max_size=4),
)
def test_no_query_is_shown_an_example_twice(
    shelf: list[str], places: list[int | None], rules: int, queries: list[str]
) -> None:
    examples = tuple(map(example, shelf))
    rule = Nearest("tfidf", examples)
    chosen = [rule if place is None else examples[place] for place in places] + [rule] * rules
    for text, shown in zip(queries, shown_to(chosen, list(map(query, queries))), strict=True):
        assert len(set(shown)) == len(shown) == len(chosen)
        found = [each for each, one in zip(shown, chosen, strict=True) if one is rule]
        fixed = set(shown) - set(found)
        (ranked,) = rule.ranked([query(text)])
        assert found == list(islice((each for each in ranked if each not in fixed), len(found)))


def test_all_rules_make_the_prompts_of_kate_for_every_class() -> None:
    """Byte for byte what retrieval by class shows, two examples of each."""
    slots = [
        tuple(example(f"{word} {kind} {number}", label) for number, word in enumerate(WORDS))
        for label, kind in (("0", "a"), ("0", "b"), ("1", "a"), ("1", "b"))
    ]
    choices = with_nearest(slots, ["0", "0", "1", "1"], ["tfidf"])
    rules = [slot[-1] for slot in choices]
    queries = [{"text_a": f"a {one} {other}"} for one in WORDS for other in WORDS]
    found = render_all(TASK, rules, ("think",), queries)
    for fields, prompt in zip(queries, found, strict=True):
        shown: list[Example] = []
        for shelf in ((*slots[0], *slots[1]), (*slots[2], *slots[3])):
            vectors = Vectors("tfidf", shelf)
            asked = vectors.encode([Example(fields, "")])
            (row,) = nearest_rows(asked, vectors.encode(shelf), 2)
            shown += [shelf[index] for index in row]
        assert prompt == render(TASK, shown, ("think",), fields)


def test_every_slot_keeps_its_examples_and_gets_the_rules_of_its_group() -> None:
    one, two, three = (tuple(map(example, (f"{word} x", f"{word} y"))) for word in WORDS[:3])
    slots = with_nearest([one, two, three], ["a", "b", "a"], ["tfidf"])
    assert [slot[:2] for slot in slots] == [one, two, three]
    assert [slot[2:] for slot in slots] == [
        (Nearest("tfidf", (*one, *three)),),
        (Nearest("tfidf", two),),
        (Nearest("tfidf", (*one, *three)),),
    ]
    assert with_nearest([one, two], [0, 0], []) == (one, two)


def test_only_the_fields_of_the_task_count() -> None:
    plain = render(TASK, [RULE], (), {"text_a": "a blue whale"})
    more = {"note": "red fox", "text_a": "a blue whale"}
    assert render(TASK, [RULE], (), more) == plain


def test_what_was_ranked_before_is_ranked_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nearest, "_MOST_KEPT", 3 * len(SHELF))
    asked = [query(word) for word in WORDS]

    def ranked(queries: Sequence[Example]) -> list[list[str]]:
        return [texts(list(shelf)) for shelf in RULE.ranked(queries)]

    at_once = ranked(asked)
    assert [ranked([each])[0] for each in asked] == at_once
    assert ranked([*asked, *asked]) == at_once * 2
    assert ranked([]) == []


def test_what_is_missing_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[sklearn\]"):
        render(TASK, [Nearest("tfidf", (example("never met before"),))], (), {"text_a": "x"})


def test_a_model_of_sentences_is_loaded_once_for_all_shelves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = []

    class Lengths:
        def __init__(self, name: str, **options: object) -> None:
            loaded.append(name)

        def encode(self, texts: Sequence[str], **options: object) -> list[list[float]]:
            return [[len(text), 1.0] for text in texts]

    library = SimpleNamespace(SentenceTransformer=Lengths)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    slots = [tuple(map(example, pair)) for pair in (("a", "bbbb"), ("cc", "dddddd"))]
    rules = [slot[-1] for slot in with_nearest(slots, [0, 1], ["lengths of texts"])]
    (shown,) = shown_to(rules, [query("xxx")])
    assert texts(shown) == ["bbbb", "cc"]
    assert loaded == ["lengths of texts"]


def test_a_shelf_without_a_word_is_told() -> None:
    with pytest.raises(DataError, match="compares words, and no example to choose from has one"):
        with_nearest([(example("!!!"), example("..."))], [0], ["tfidf"])
