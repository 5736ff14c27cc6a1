import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.prompt import block_template, fold, render
from asyndbt.task import BUILTIN_TASK_NAMES, Example, Task, builtin_task

TASK = Task(
    'Is the sentiment of "{text_a}" positive or negative?', ("0", "1"), ("negative", "positive")
)
SHOWN = (
    Example({"text_a": "I am happy"}, "1"),
    Example({"text_a": "I am angry"}, "0"),
)


def test_the_prompt_of_the_paper_byte_for_byte() -> None:
    prompt = render(TASK, SHOWN, ["<fragment>"], {"text_a": "I am hungry"})
    assert prompt.text == (
        'Question: Is the sentiment of "I am happy" positive or negative? Note: <fragment>.'
        " Answer: positive\n"
        'Question: Is the sentiment of "I am angry" positive or negative? Note: <fragment>.'
        " Answer: negative\n"
        'Question: Is the sentiment of "I am hungry" positive or negative? Note: <fragment>.'
        " Answer:"
    )
    assert [message["content"] for message in prompt.messages[:2]] == [
        prompt.text.split("\n")[0].removesuffix(" positive"),
        "positive",
    ]


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ([], "Question: Is it {x}? Answer:"),
        (["think", "step"], "Question: Is it {x}? Note: think step. Answer:"),
        (["think step."], "Question: Is it {x}? Note: think step. Answer:"),
        (["Why?", "{a}\nb"], "Question: Is it {x}? Note: Why? {{a}} b. Answer:"),
        (["", " "], "Question: Is it {x}? Answer:"),
    ],
)
def test_the_note(fragment: list[str], expected: str) -> None:
    assert block_template(Task("Is it {x}?", ("0", "1"), ("no", "yes")), fragment) == expected


@pytest.mark.parametrize("start", ["Question: ", "question: ", " QUESTION: "])
def test_question_is_not_said_twice(start: str) -> None:
    task = Task(f"{start}Is it {{x}}?", ("0", "1"), ("no", "yes"))
    assert block_template(task) == f"{start.strip()} Is it {{x}}? Answer:"


def test_another_intro() -> None:
    task = Task("Is it {x}?", ("0", "1"), ("no", "yes"), fragment_intro="Hint {1}:")
    assert render(task, (), ["think"], {"x": "so"}).text == (
        "Question: Is it so? Hint {1}: think. Answer:"
    )


@given(st.text(), st.lists(st.text(), max_size=3))
def test_one_line_is_one_example(text: str, fragment: list[str]) -> None:
    shown = Example({"text_a": text}, "1")
    prompt = render(TASK, [shown, shown], fragment, {"text_a": text})
    assert len(prompt.text.splitlines()) == 3
    assert f'"{fold(text)}"' in prompt.query


@given(st.text(alphabet="{}xa_text!:0 \"'\\"))
def test_braces_in_a_text_are_only_text(text: str) -> None:
    assert render(TASK, (), (), {"text_a": text}).query == (
        f'Question: Is the sentiment of "{text.strip()}" positive or negative? Answer:'
    )


def test_plain_braces_of_the_instruction() -> None:
    task = Task('Is "{x}" a {{set}}?', ("0", "1"), ("no", "yes"))
    assert render(task, (), (), {"x": "{}"}).query == 'Question: Is "{}" a {set}? Answer:'


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert len(fold(text).splitlines()) <= 1


@pytest.mark.parametrize("name", BUILTIN_TASK_NAMES)
def test_builtin_tasks_render(name: str) -> None:
    task = builtin_task(name)
    texts = {field: f"<{field}>" for field in task.fields}
    query = render(task, (), ["[VAR]"], texts).query
    assert query.startswith("Question: ")
    assert query.endswith('". Note: [VAR]. Answer:')
    assert all(text in query for text in texts.values())
