"""What a provider is sent for a prompt: chat messages, or one text."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.lm import Prompt, find_providers

PROMPT = Prompt((("1 + 1? Answer:", "two"),), "1 + 2? Answer:")
SYSTEM = "One of {labels}."
TOLD = [{"role": "system", "content": "One of two, three."}, *PROMPT.messages]


@pytest.mark.parametrize(
    ("provider", "options", "facts", "expected"),
    [
        ("pocket", {}, {}, None),
        ("openai", {"api": "completions"}, {}, None),
        ("openai", {"system": SYSTEM}, {}, TOLD),
        ("openai", {"system": ""}, {"system_role": False}, PROMPT.messages),
        ("huggingface", {}, {"chat_template": False}, None),
        ("huggingface", {}, {"chat_template": True}, PROMPT.messages),
        ("huggingface", {"system": SYSTEM}, {"chat_template": True}, TOLD),
    ],
)
def test_messages_are_those_of_the_providers_settings(
    provider: str, options: dict[str, Any], facts: dict[str, Any], expected: Any
) -> None:
    kind = find_providers()[provider]
    model = {} if provider == "pocket" else {"model": "some"}
    settings = kind.Options.model_validate({**model, **options})
    assert kind.messages(settings, facts, PROMPT, ["two", "three"]) == expected
