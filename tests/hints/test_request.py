"""What a model is asked for hints."""

from __future__ import annotations

from asyndbt.hints import Mistake, hints_prompt
from asyndbt.task import Reward, Task

TASK = Task('Is "{text_a}" praise of {thing}?', ("0", "1"), ("no", "yes"))


def test_task_mistakes_and_known_hints_are_in_it() -> None:
    fields = {"text_a": "Far from\nbad", "thing": "a film"}
    mistakes = [Mistake(fields, "yes", "no"), Mistake(fields, "yes", None)]
    prompt = hints_prompt(TASK, mistakes, ["Mind negations."], 6)
    for part in (
        'Is "[text_a]" praise of [thing]?',
        "no, yes",
        "text_a: Far from bad\nthing: a film\nright answer: yes\nits answer: no\n",
        "its answer: none of these",
        "- Mind negations.",
        "6 short hints",
    ):
        assert part in prompt.text
    assert prompt.shots == ()
    assert prompt.most_tokens is not None


def test_it_is_bounded_whatever_the_texts() -> None:
    fields = dict.fromkeys(("text_a", "thing"), "long " * 10_000)
    assert len(hints_prompt(TASK, [Mistake(fields, "yes", "no")], [], 6).text) < 2_000


def test_a_task_without_labels() -> None:
    task = Task("Say {x}.", reward=Reward("exact"))
    text = hints_prompt(task, [Mistake({"x": "so"}, "so", "No.")], [], 3).text
    assert "right answer: so\nits answer: No." in text
    assert "one of" not in text
