"""Label words that begin alike: which feedback can do with them."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.errors import ConfigError
from asyndbt.lm import parse_label
from asyndbt.run import load_inputs

ALIKE = [("1", "10"), ("No", "not related"), ("pto_request", "pto_request_status")]


@pytest.mark.parametrize("words", ALIKE)
def test_only_scores_of_first_tokens_need_labels_that_begin_differently(
    small: Any, words: tuple[str, str]
) -> None:
    task = {"labels": dict(zip(("positive", "negative"), words, strict=True))}
    with pytest.raises(ConfigError, match=r'begin alike.* or set lm\.feedback = "text"'):
        load_inputs(small.config(task=task))
    inputs = load_inputs(small.config(task=task, lm={"feedback": "text"}))
    assert inputs.task.label_words == words
    assert [parse_label(f"It is {word}.", words) for word in words] == [0, 1]
