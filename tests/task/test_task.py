import copy
import pickle

import pytest

from asyndbt.errors import ConfigError, DataError
from asyndbt.task import BUILTIN_TASK_NAMES, Example, Task, builtin_task


def make(
    instruction: str = 'Is "{text_a}" praise?',
    labels: tuple[str, ...] = ("0", "1"),
    words: tuple[str, ...] = ("no", "yes"),
) -> Task:
    return Task(instruction, labels, words)


def test_fields_are_named_once_in_order_of_appearance() -> None:
    assert make("{b} and {a} and {b} and {{c}}").fields == ("b", "a")


def test_labels_and_words_correspond() -> None:
    task = make()
    assert [task.class_of(label) for label in ("0", "1")] == [0, 1]
    assert task.word_of("1") == "yes"
    with pytest.raises(DataError, match="unknown label '2'; the task has '0', '1'"):
        task.word_of("2")


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("Is this praise?", r"instruction: no field; .*\{text_a\}"),
        ("Is {{text_a}} praise?", r"instruction: no field"),
        ("Is {text_a!r} praise?", r"instruction: field 'text_a' has a conversion.*\{text_a\}"),
        ("Is {text_a:>9} praise?", r"instruction: field 'text_a' has a conversion or a format"),
        ("Is {} praise?", r"instruction: \{\} is not a field name"),
        ("Is {0} praise?", r"instruction: \{0\} is not a field name"),
        ("Is {text_a.upper} praise?", r"instruction: \{text_a.upper\} is not a field name"),
        ("Is {text_a praise?", r"instruction: .*write \{\{ and \}\}"),
        ("Is text_a} praise?", r"instruction: .*write \{\{ and \}\}"),
    ],
)
def test_instruction_that_cannot_be_filled(instruction: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(instruction)


@pytest.mark.parametrize(
    ("labels", "words", "message"),
    [
        (("0",), ("no",), "^labels: 1 given; a task needs 2 or more"),
        (("0", "0"), ("no", "yes"), "^labels: '0' stands there twice"),
        (("0", "1"), ("no",), "^labels: 1 word for 2 labels; give one word per label"),
        (("0", "1"), ("no", " "), "^labels: the word for label '1' is empty"),
        (("0", "1"), ("no", "yes "), "^labels: 'yes ' has white space"),
        (("0", "1"), ("no", "yes\nsir"), "^labels: .* a line break"),
        (("0", "1"), ("Yes", "yes"), "^labels: 'Yes' and 'yes' are the same word"),
        (("0", "1"), ("caf\u00e9", "cafe\u0301"), "are the same word"),
        (("0", "1"), ("don't know", "don\u2019t KNOW"), "are the same word"),
        (("0", "1"), ("-1", "\u22121"), "are the same word"),
    ],
)
def test_labels_that_cannot_be_told_apart(
    labels: tuple[str, ...], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(labels=labels, words=words)


def test_builtin_tasks_use_the_fields_of_the_paper() -> None:
    assert BUILTIN_TASK_NAMES == ("5g", "cola", "mrpc", "qnli", "qqp", "sst2")
    fields = {name: builtin_task(name).fields for name in BUILTIN_TASK_NAMES}
    assert fields.pop("5g") == ("text_a", "text_b", "context")
    assert fields.pop("cola") == fields.pop("sst2") == ("text_a",)
    assert set(fields.values()) == {("text_a", "text_b")}
    for name in BUILTIN_TASK_NAMES:
        task = builtin_task(name)
        assert all(f'"{word}"' in task.instruction for word in task.label_words)


def test_unknown_builtin_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'SST-2' is not built in; .* did you mean 'sst2'\?"):
        builtin_task("SST-2")


def test_examples_are_equal_by_what_they_say() -> None:
    here = Example({"a": "x", "b": "y"}, "1", "north", "train.jsonl line 1")
    there = Example({"b": "y", "a": "x"}, "1", "south", "test.jsonl line 2")
    assert here == there
    assert len({here, there, Example({"a": "x", "b": "y"}, "0")}) == 2
    assert Example({"a": "x  y\n"}, "1").content == Example({"a": " x y"}, "0").content


def test_an_example_keeps_its_texts_when_the_source_changes() -> None:
    source = {"a": "x"}
    example = Example(source, "1")
    source["a"] = "changed"
    assert example.fields == {"a": "x"}
    assert pickle.loads(pickle.dumps(example)) == copy.deepcopy(example) == example
