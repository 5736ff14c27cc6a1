"""Runs whose vocabulary the model writes: what that brings, costs, records and keeps back."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from asyndbt.lm import Prompt
from asyndbt.run import Result, run_config
from asyndbt.testing import ScriptedLanguageModel

GOOD = "Weigh the adjectives more than the nouns."
OTHERS = ("Answer in haste.", "Prefer long words.", "Think of the weather.", "Count all vowels.")
METHOD = {"vocabulary": "propose", "vocabulary_limit": None, "fragment_length": None}
CALLS = {"per_site": {"calls": 240}}


class Student:
    """Knows the label of every text if its prompt has the good hint, else of about half."""

    def __init__(self, small: Any, *hints: str) -> None:
        rows = [row for part in ("train", "validation", "test") for row in small.rows(part)]
        self._words = {row["text_a"]: small.task.labels[row["label"]] for row in rows}
        self._hints = hints or (*OTHERS[:2], GOOD, *OTHERS[2:])
        self.asked: list[str] = []

    def __call__(self, prompt: Prompt, labels: Sequence[str]) -> Sequence[float] | str:
        if prompt.most_tokens is not None:
            self.asked.append(prompt.text)
            return "\n".join(f"{number}. {hint}" for number, hint in enumerate(self._hints, 1))
        text = next(text for text in self._words if f'"{text}"' in prompt.query)
        known = GOOD in prompt.query or zlib.crc32(text.encode()) % 2
        right = labels.index(self._words[text])
        answer = right if known else 1 - right
        return [-0.1 if index == answer else -2.4 for index in range(2)]


def model_of(student: Student) -> ScriptedLanguageModel:
    return ScriptedLanguageModel(student)


def tuned(result: Result) -> float:
    accuracy: float = result.data["metrics"]["test"]["tuned"]["accuracy"]
    return accuracy


def test_hints_of_the_model_itself_raise_what_a_word_list_cannot(small: Any) -> None:
    student = Student(small)
    words = run_config(small.config("words", budget=CALLS), model=model_of(student))
    assert student.asked == []
    hints = run_config(small.config("hints", method=METHOD, budget=CALLS), model=model_of(student))
    assert GOOD in hints.fragment
    assert tuned(hints) == 1.0 > tuned(words) + 0.2
    for name in small.sites:
        assert small.paid(hints.directory)[name][0] <= 240
        assert hints.data["hints"]["sites"][name]["written"] == 5
    assert hints.data["hints"]["vocabulary"] == 5
    paid = sum(calls for calls, _, _ in small.paid(hints.directory).values())
    assert hints.data["ledger"]["calls"] == paid
