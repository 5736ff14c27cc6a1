"""Answers are shared between runs, and every run pays for them as if they were its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from asyndbt.errors import ExampleError, TransientError
from asyndbt.lm import AnswerCache, Budget, Gateway, Limits, Prompt, Request, Send, Usage
from asyndbt.lm._replay import ReplayedModel
from asyndbt.testing import ScriptedLanguageModel

LABELS = ["great", "terrible"]
PROMPTS = [Prompt((), f"It was {word}. Answer:") for word in ("fun", "dull", "long")]


def scripted(**options: Any) -> ScriptedLanguageModel:
    return ScriptedLanguageModel({"": (-0.1, -2.3)}, price=0.5, **options)


def run(model: Any, prompts: Sequence[Prompt], cache: AnswerCache | None = None) -> Usage:
    """One run with its own gateway, its own answers and its own budget."""
    gateway = Gateway(model, cache or AnswerCache(":memory:"), Budget(Limits(calls=10)))
    answers = asyncio.run(gateway.ask(prompts, LABELS))
    assert all(answers)
    return gateway.ledger().spent


def test_every_run_pays_and_the_model_is_asked_once(tmp_path: Path) -> None:
    real = scripted()
    spent = []
    for payer in ("one", "two", "three"):
        with AnswerCache(tmp_path / "shared.sqlite", payer) as shared:
            spent.append(run(ReplayedModel(real, shared), PROMPTS))
            paid = shared.total()
        assert paid.calls == (3 if payer == "one" else 0)
    assert spent == [spent[0]] * 3
    assert spent[0].calls == 3
    assert spent[0].money == 1.5
    assert real.asked == PROMPTS


def test_only_what_is_new_is_asked() -> None:
    real, shared = scripted(), AnswerCache(":memory:")
    run(ReplayedModel(real, shared), PROMPTS[:2])
    assert run(ReplayedModel(real, shared), PROMPTS).calls == 3
    assert real.asked == PROMPTS


def test_the_budget_of_a_run_counts_replayed_answers() -> None:
    model = ReplayedModel(scripted(), AnswerCache(":memory:"))
    run(model, PROMPTS)
    gateway = Gateway(model, AnswerCache(":memory:"), Budget(Limits(calls=4)))
    asyncio.run(gateway.ask(PROMPTS, LABELS))
    assert gateway.budget.remaining().calls == 1


def test_another_sample_is_another_answer_and_replayed_as_such() -> None:
    real, shared = ScriptedLanguageModel(lambda *_: str(len(real.asked))), AnswerCache(":memory:")

    def samples() -> list[str | None]:
        gateway = Gateway(ReplayedModel(real, shared), AnswerCache(":memory:"), Budget(Limits()))
        said = []
        for sample in range(3):
            (answer,) = asyncio.run(gateway.ask(PROMPTS[:1], LABELS, sample))
            assert answer is not None
            said.append(answer.text)
        return said

    assert samples() == samples() == ["1", "2", "3"]
    assert len(real.asked) == 3


def test_equal_prompts_under_way_are_one_request() -> None:
    real = scripted(delay=0.01, is_remote=True)
    model = ReplayedModel(real, AnswerCache(":memory:"))

    async def both() -> list[Any]:
        return await asyncio.gather(*(model.score(PROMPTS[:1], LABELS) for _ in range(2)))

    one, other = asyncio.run(both())
    assert one == other
    assert len(real.asked) == 1


def test_a_failed_request_is_not_kept() -> None:
    real = scripted(failing={0})
    model = ReplayedModel(real, AnswerCache(":memory:"))
    assert asyncio.run(model.score(PROMPTS[:1], LABELS)) == [None]
    assert asyncio.run(model.score(PROMPTS[:1], LABELS)) != [None]
    assert len(real.asked) == 2


def test_an_error_of_the_model_is_passed_on() -> None:
    def fail(*_: Any) -> None:
        raise TransientError("lost", provider="scripted", kind="timeout", charged=True)

    model = ReplayedModel(ScriptedLanguageModel(fail), AnswerCache(":memory:"))
    with pytest.raises(TransientError):
        asyncio.run(model.score(PROMPTS, LABELS))
    with pytest.raises(TransientError):
        asyncio.run(model.score(PROMPTS, LABELS))


class Probed(ScriptedLanguageModel):
    """Finds something out by two requests, the first of which is turned down."""

    probes = 0
    restored: Any = None

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        self.probes += 1

        async def refuse() -> tuple[str, Usage]:
            raise ExampleError("no such field", provider="scripted")

        async def answer() -> tuple[str, Usage]:
            return "fine", Usage(1, 40, 4, 0.1)

        with pytest.raises(ExampleError):
            await send(Request(refuse, Usage(1, 50, 5, 0.2), 45))
        assert await send(Request(answer, Usage(1, 50, 5, 0.2), 45)) == "fine"
        return {"seed": True}

    def restore_capabilities(self, facts: Any) -> None:
        self.restored = dict(facts)


def test_what_a_model_can_do_is_found_out_once_and_charged_to_all(tmp_path: Path) -> None:
    real = Probed({"": "great"}, is_remote=True)
    found, ledgers = [], []
    for payer in ("one", "two"):
        with AnswerCache(tmp_path / "shared.sqlite", payer) as shared:
            model = ReplayedModel(real, shared)
            gateway = Gateway(model, AnswerCache(":memory:"), Budget(Limits(calls=1)))
            found.append(asyncio.run(gateway.detect_capabilities(PROMPTS, LABELS)))
            ledgers.append(gateway.ledger())
    assert found == [{"seed": True}, {"seed": True}]
    assert ledgers[0] == ledgers[1]
    assert (ledgers[0].spent, ledgers[0].sent) == (Usage(1, 40, 4, 0.1), 2)
    assert real.probes == 1
    assert real.restored == {"seed": True}


def test_it_passes_for_the_model_it_stands_for() -> None:
    real = scripted(is_remote=True, name="real")
    model = ReplayedModel(real, AnswerCache(":memory:"))
    assert (model.name, model.batch, model.is_remote) == ("real", 1, True)
    assert (
        model.max_usage(PROMPTS[0])
        == model.expected_usage(PROMPTS[0])
        == real.max_usage(PROMPTS[0])
    )
