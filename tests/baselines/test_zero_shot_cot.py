"""Thinking first: what is asked, and what is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from asyndbt.baselines import run_method
from asyndbt.baselines._zero_shot_cot import ONE_CALL, TWO_CALLS, final_label
from asyndbt.errors import ConfigError
from asyndbt.lm import Prompt
from asyndbt.testing import ScriptedLanguageModel

WORDS = ["terrible", "great"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Great acting, weak plot. The final answer is terrible.", 0),
        ("Terrible weather.\n\nFinal answer: **great**", 1),
        ("Not terrible, so the answer is great!", 1),
        ("It could be terrible or great.", None),
        ("great. Or is it?", 1),
        ("No idea", None),
        ("", None),
    ],
)
def test_the_end_of_the_thoughts_decides(text: str, label: int | None) -> None:
    assert final_label(text, WORDS) == label


def test_one_call_with_the_papers_sentence(tiny: Any) -> None:
    def think(prompt: Prompt, labels: Sequence[str]) -> str:
        if ONE_CALL in prompt.query:
            return f"One could say {labels[0]}. But the answer is {labels[1]}."
        return labels[0]

    model = ScriptedLanguageModel(think)
    result = run_method("zero-shot-cot", tiny.config(**{"lm.feedback": "text"}), model=model)
    test = result.data["metrics"]["test"]
    assert test["tuned"]["accuracy"] == test["plain"]["accuracy"] == 0.5
    thinking = [prompt for prompt in model.asked if ONE_CALL in prompt.query]
    assert len(thinking) == 2 * (tiny.test + tiny.validation)
    assert all(prompt.query.endswith("Answer:") and not prompt.shots for prompt in thinking)


def test_two_calls_hand_the_thoughts_on(tiny: Any) -> None:
    texts = {row["text_a"]: row["label"] for part in tiny.files for row in tiny.rows(part)}
    from asyndbt.pocket import TASKS

    named = dict(TASKS["sentiment-consumer"].labels)

    def think(prompt: Prompt, labels: Sequence[str]) -> str:
        if "Therefore, the answer" in prompt.query:
            assert "a clear case" in prompt.query
            return prompt.query.split("a clear case of ")[1].split()[0]
        if TWO_CALLS in prompt.query:
            (label,) = {v for text, v in texts.items() if f'"{text}"' in prompt.query}
            return f"This is\\na clear case of {named[label]} things"
        return labels[0]

    model = ScriptedLanguageModel(think)
    config = tiny.config(**{"lm.feedback": "text"})
    result = run_method("zero-shot-cot", config, model=model, options={"calls": 2})
    assert result.data["metrics"]["test"]["tuned"]["accuracy"] == 1.0
    assert result.data["ledger"]["calls"] == 2 * (tiny.test * (2 + 1 + 2) + 2 * tiny.validation)


def test_two_calls_need_text(tiny: Any, scripted: ScriptedLanguageModel) -> None:
    with pytest.raises(ConfigError, match=r'lm\.feedback = "text"'):
        run_method("zero-shot-cot", tiny.config(), model=scripted, options={"calls": 2})
    assert scripted.asked == []
