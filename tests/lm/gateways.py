"""Gateways to models by script, and prompts that are told apart by a number."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from asyndbt.lm import Answer, AnswerCache, Budget, Gateway, Limits, Prompt, Usage
from asyndbt.testing import ScriptedLanguageModel

LABELS = ("great", "terrible")


def prompt(number: int) -> Prompt:
    return Prompt((("It was dull. Answer:", "terrible"),), f"It was number {number}. Answer:")


def prompts(*numbers: int) -> list[Prompt]:
    return [prompt(number) for number in numbers]


def by_number(asked: Prompt, labels: Sequence[str]) -> tuple[float, ...] | str | None:
    """Multiples of 7 fail, of 5 name no label, the rest are scored."""
    number = int(asked.query.split()[3].rstrip("."))
    if number % 7 == 0:
        return None
    return "who knows" if number % 5 == 0 else (-0.1 * number, -1.0)


def gateway(
    model: Any, limits: Limits | None = None, cache: AnswerCache | Path | str = ":memory:"
) -> Gateway:
    stored = cache if isinstance(cache, AnswerCache) else AnswerCache(cache)
    return Gateway(model, stored, Budget(limits or Limits()))


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that must not suspend, within a running loop."""

    async def main() -> Any:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        coroutine.close()
        raise AssertionError("suspended")

    return asyncio.run(main())


class Ticking(ScriptedLanguageModel):
    """Takes so many turns of the event loop, a number per call."""

    def __init__(self, script: Any, ticks: Sequence[int], price: float = 0.0) -> None:
        super().__init__(script, price=price)
        self.ticks = list(ticks)
        self.worst = Usage()
        self.flying = 0.0
        self.most_money = 0.0

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        bound = sum(map(self.max_usage, prompts), Usage())
        self.worst += bound
        self.flying += bound.money
        self.most_money = max(self.most_money, self.charged.money + self.flying)
        for _ in range(self.ticks.pop() if self.ticks else 1):
            await asyncio.sleep(0)
        answers = await super().score(prompts, labels)
        self.flying -= bound.money
        return answers
