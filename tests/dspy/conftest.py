"""An endpoint that reads DSPy's prompts, and is right once it is shown one certain example."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from asyndbt._chat_server import ChatError, ChatServer, completion

KEY = "the key to it all"
"""The endpoint says "no" to everything, but is right below a demonstration with this text."""


class Endpoint(ChatServer):
    """Speaks the format of ChatAdapter; `sent` are the messages of all requests."""

    def __init__(self) -> None:
        self.sent: list[list[dict[str, str]]] = []
        self.reply: str | ChatError = ""
        super().__init__("127.0.0.1", 0)

    @property
    def models(self) -> list[str]:
        return ["m"]

    def complete(self, body: bytes) -> dict[str, Any]:
        messages = json.loads(body)["messages"]
        self.sent.append(messages)
        if isinstance(self.reply, ChatError):
            raise self.reply
        shown = any(KEY in each["content"] for each in messages[1:-1])
        right = "yes" if "good" in messages[-1]["content"] else "no"
        said = (
            self.reply or f"[[ ## mood ## ]]\n{right if shown else 'no'}\n\n[[ ## completed ## ]]"
        )
        message = {"role": "assistant", "content": said}
        return completion("m", [{"index": 0, "finish_reason": "stop", "message": message}])

    @property
    def notes(self) -> set[str]:
        """Words below the instructions, as far as they were sent."""
        return {
            note for each in self.sent for note in re.findall(r"Note: .+\.", each[0]["content"])
        }


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    dspy = pytest.importorskip("dspy")
    with Endpoint() as server:
        lm = dspy.LM("openai/m", api_base=server.url, api_key="none", cache=False, num_retries=0)
        with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
            yield server


@pytest.fixture
def student() -> Any:
    dspy = pytest.importorskip("dspy")

    class Judge(dspy.Signature):
        """Say whether the mood is good."""

        text: str = dspy.InputField()
        mood: Literal["no", "yes"] = dspy.OutputField()

    return dspy.Predict(Judge)


@pytest.fixture
def examples() -> Any:
    """Twenty-four examples at two sites, the key among the first ones of either."""
    dspy = pytest.importorskip("dspy")
    return [
        dspy.Example(
            text=f"{('bad', 'good')[k % 2]} day\n  number {k}{f': {KEY}' if k in (1, 13) else ''}",
            mood=("no", "yes")[k % 2],
            town=("north", "south")[k // 12],
        ).with_inputs("text")
        for k in range(24)
    ]
