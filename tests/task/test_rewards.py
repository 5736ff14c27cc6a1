"""Rewards: what they are worth, and what is said where one fails."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError, DataError
from asyndbt.task import Example, Reward, SplitSizes, Task, load_examples, split_sites

QUESTION = "What is the capital of {country}?"


def worth(reward: Reward, expected: str, answer: str) -> float:
    return reward(Example({"country": "?"}, expected, origin="train.csv line 7"), answer)


@pytest.mark.parametrize(
    ("name", "expected", "answer", "reward"),
    [
        ("exact", "Paris", "  paris.\n", 1.0),
        ("exact", "Paris", "**Paris**", 1.0),
        ("exact", "Paris", "It is Paris", 0.0),
        ("exact", "Köln", "Ko\u0308ln", 1.0),
        ("exact", "-3", "3", 0.0),
        ("exact", "5 %", "5", 0.0),
        ("exact", "Paris", "", 0.0),
        ("exact", "?", "?", 1.0),
        ("exact", "?", "!", 0.0),
        ("exact", "?", "", 0.0),
        ("token_f1", "(", "[", 0.0),
        ("contains", "New York", "In new york, of course.", 1.0),
        ("contains", "New York", "York is not New.", 0.0),
        ("contains", "cat", "A concatenation.", 0.0),
        ("contains", "...", "Anything", 0.0),
        ("token_f1", "New York", "York", 2 / 3),
        ("token_f1", "a a b", "a b b", 2 / 3),
        ("token_f1", "Paris", "London", 0.0),
        ("token_f1", "Paris", "", 0.0),
    ],
)
def test_texts_are_compared_word_by_word(
    name: str, expected: str, answer: str, reward: float
) -> None:
    assert worth(Reward(name), expected, answer) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("pattern", "expected", "answer", "reward"),
    [
        (r"#### (-?\d+)", "6 times 7 #### 42", "First #### 41, no: #### 42", 1.0),
        (r"#### (-?\d+)", "42", "so #### 42", 1.0),
        (r"#### (-?\d+)", "42", "42", 0.0),
        (r"\d{4}", "born in 1969", "1969!", 1.0),
        (r"(\d+)?x", "x", "x", 0.0),
    ],
)
def test_what_a_pattern_finds_last_is_compared(
    pattern: str, expected: str, answer: str, reward: float
) -> None:
    assert worth(Reward("regex", pattern), expected, answer) == reward


@given(st.text(max_size=30), st.text(max_size=30))
def test_every_reward_is_a_share_and_full_for_what_is_expected(expected: str, answer: str) -> None:
    for name in ("exact", "contains", "token_f1"):
        assert 0.0 <= worth(Reward(name), expected, answer) <= 1.0
    assert worth(Reward("exact"), expected, expected) == 1.0
    assert worth(Reward("token_f1"), expected, expected) == 1.0


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("grader")
    monkeypatch.setitem(sys.modules, "grader", module)
    return module


def test_a_function_is_given_the_example_and_the_answer(grader: ModuleType) -> None:
    grader.half = lambda example, answer: (
        0.5 * (answer == example.label + example.fields["country"])
    )
    assert worth(Reward("grader:half"), "Paris", "Paris?") == 0.5


@pytest.mark.parametrize(
    ("returned", "fault"),
    [(float("nan"), "NaN"), (1.5, "1.5"), (-0.1, "-0.1"), ("x", "ValueError")],
)
def test_a_reward_that_is_none_names_function_and_row_and_nothing_of_the_row(
    grader: ModuleType, returned: object, fault: str
) -> None:
    grader.odd = lambda example, answer: returned
    with pytest.raises(DataError) as caught:
        worth(Reward("grader:odd"), "a secret", "an answer")
    assert str(caught.value).startswith("train.csv line 7: the reward 'grader:odd' ")
    assert fault in str(caught.value)


def test_an_error_in_a_function_keeps_the_texts_of_the_row_to_itself(grader: ModuleType) -> None:
    def failing(example: Example, answer: str) -> float:
        raise RuntimeError(f"cannot judge {example.label} {answer}")

    grader.failing = failing
    with pytest.raises(DataError, match="raised RuntimeError") as caught:
        worth(Reward("grader:failing"), "a secret", "an answer")
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        ("exakt", None, "did you mean 'exact'"),
        ("regex", None, "pattern: it is missing"),
        ("exact", "x", "pattern: it is given"),
        ("regex", "(", "not a regular expression"),
    ],
)
def test_a_reward_that_cannot_be(name: str, pattern: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Reward(name, pattern)


@pytest.mark.parametrize("name", ["no_such_module_at_all:f", "math:no_such_function", "math:pi"])
def test_a_function_that_is_not_there_is_told_when_it_is_looked_up(name: str) -> None:
    reward = Reward(name)
    with pytest.raises(ConfigError, match=name):
        _ = reward.function


def test_a_task_has_labels_or_a_reward() -> None:
    with pytest.raises(ConfigError, match="one of the two"):
        Task(QUESTION, ("0", "1"), ("no", "yes"), reward=Reward("exact"))
    task = Task(QUESTION, reward=Reward("regex", r"\d+"))
    assert Task.from_dict(task.to_dict()) == task
    assert task.measure == "mean_reward"


def test_answers_may_be_numbers(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text(
        '{"country": "1 + 1", "answer": 2}\n{"country": "1 / 2", "answer": 0.5}\n'
        '{"country": "x", "answer": "any text"}\n'
    )
    task = Task(QUESTION, reward=Reward("exact"))
    found = load_examples("sums.jsonl", task, label_column="answer", base=tmp_path)
    assert [example.label for example in found] == ["2", "0.5", "any text"]


def test_an_answer_that_is_missing_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"country": "1 + 1", "answer": ""}\n')
    task = Task(QUESTION, reward=Reward("exact"))
    with pytest.raises(DataError, match=r"sums.jsonl line 1, column 'answer': the text is empty"):
        load_examples("sums.jsonl", task, label_column="answer", base=tmp_path)


def test_examples_are_split_as_one_class() -> None:
    task = Task(QUESTION, reward=Reward("exact"))
    examples = [Example({"country": f"c{k}"}, f"town {k}") for k in range(20)]
    (site,) = split_sites(task, examples, sizes=SplitSizes(pool_per_class=6)).sites
    assert (len(site.pool), len(site.train), len(site.validation)) == (6, 7, 7)
    with pytest.raises(DataError, match="class 'all rows': 5 training examples, 8 needed"):
        split_sites(task, examples[:5], sizes=SplitSizes(pool_per_class=6))
