"""A toy language model that answers in words, better under some prompts than under others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel

from asyndbt._chat_server import ChatMessage, ChatServer, completion, parse_body
from asyndbt.lm import Prompt
from asyndbt.testing import ScriptedLanguageModel

TOWNS = ("Lyon", "Porto", "New York", "Graz", "Turku", "Ghent", "Cork", "Bern")
PEOPLE = ("Anna", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Ida")
VOCABULARY = ("exactly", "briefly", "loudly", "purple", "seldom", "onwards", "mildly", "beyond")
HELPFUL_WORDS = ("exactly", "briefly")
HELPFUL_DEMONSTRATIONS = r"Anna|\b7 plus"


def rows(count: int, first: int = 0) -> list[dict[str, str]]:
    """Rows with a text, the town that it names, and a title."""
    towns = [(k, TOWNS[k * 5 // 8 % 8]) for k in range(first, first + count)]
    return [
        {
            "text": f"{PEOPLE[k % 8]} took train {k} to {town} at night",
            "town": town,
            "title": f"Night train to {town}",
        }
        for k, town in towns
    ]


def sums(count: int, first: int = 0) -> list[dict[str, str]]:
    """Rows with two numbers and how they are added."""
    pairs = [(k % 10, k + 1) for k in range(first, first + count)]
    return [{"a": str(a), "b": str(b), "worked": f"{a} and {b} #### {a + b}"} for a, b in pairs]


def calls(count: int, first: int = 0) -> list[dict[str, str]]:
    """Rows with a call of which every second one needs a doctor."""
    return [
        {"text": f"call {k}", "label": "yes" if k % 2 else "no"}
        for k in range(first, first + count)
    ]


def toy_reply(prompt: Prompt, labels: Sequence[str]) -> str:
    """Give a good answer, a middling one, or one of no use.

    How often it does which depends on the words and demonstrations of the prompt, and for a given
    query it is always the same.
    """
    asked = prompt.query
    if "from 0 to 10" in asked:
        return _judgement(asked)
    skill = 0.2 + 0.15 * sum(word in asked for word in HELPFUL_WORDS)
    skill += 0.4 * any(re.search(HELPFUL_DEMONSTRATIONS, block) for block, _ in prompt.shots)
    luck = blake2b("".join(re.findall(r"\d+", asked)).encode(), digest_size=2).digest()
    drawn = int.from_bytes(luck) / 2**16
    good, middling = _answers(asked)
    return good if drawn < skill else middling if drawn < skill + 0.3 else "I like trains."


def _answers(asked: str) -> tuple[str, str]:
    if added := re.search(r"(\d+) plus (\d+)", asked):
        a, b = map(int, added.groups())
        return f"{a} and {b} #### {a + b}", f"It is {a + b}."
    town = next(town for town in TOWNS if f"to {town} at" in asked)
    if "title" in asked:
        return f"Night train to {town}", f"A story of someone who took a night train to {town}"
    return town, f"The town is {town}."


def _judgement(asked: str) -> str:
    """Judge a title: the expected one is best, a long one middling."""
    wanted, said = re.findall(r"A good title: (.*)\nThe title to judge: (.*)", asked)[0]
    return "10" if said == wanted else "4/10" if "night train" in said else "0"


def toy_model() -> ScriptedLanguageModel:
    """Return the model."""
    return ScriptedLanguageModel(toy_reply, name="toy")


class _Request(BaseModel):
    model: str
    messages: list[ChatMessage]


class ToyServer(ChatServer):
    """The model behind an endpoint."""

    models = ("toy",)

    def complete(self, body: bytes) -> dict[str, Any]:
        """Answer a request."""
        request = parse_body(_Request, body)
        *shown, query = [each.text for each in request.messages if each.role != "system"]
        shots = tuple(zip(shown[::2], shown[1::2], strict=True))
        message = {"role": "assistant", "content": toy_reply(Prompt(shots, query), ())}
        usage = {"prompt_tokens": len(body) // 4, "completion_tokens": 4}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return {**completion(request.model, [choice]), "usage": usage}
