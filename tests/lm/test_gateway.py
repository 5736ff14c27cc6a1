"""One request at a time and several in flight: order, repeats, failures, who joins whom."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lm.gateways import LABELS, Ticking, at_once, by_number, gateway, prompts

from asyndbt.errors import ModelError
from asyndbt.lm import Answer, AnswerCache, Limits, Prompt
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.testing import ScriptedLanguageModel


# ------------------------------------------------------------------ one request at a time
def test_answers_come_in_order_and_repeats_are_one_request() -> None:
    model = ScriptedLanguageModel(by_number)
    gate = gateway(model)
    answers = at_once(gate.ask(prompts(3, 1, 7, 3, 5), LABELS))
    assert [answer and (answer.label_log_probabilities or answer.text) for answer in answers] == [
        (-0.1 * 3, -1.0),
        (-0.1, -1.0),
        None,
        (-0.1 * 3, -1.0),
        "who knows",
    ]
    assert model.asked == prompts(3, 1, 7, 5)


@given(st.lists(st.lists(st.integers(1, 15), max_size=8), max_size=8))
def test_the_ledger_equals_the_models_own_count(batches: list[list[int]]) -> None:
    model = ScriptedLanguageModel(by_number, price=0.1)
    gate = gateway(model)
    for numbers in batches:
        at_once(gate.ask(prompts(*numbers), LABELS))
    numbers = [number for batch in batches for number in batch]
    ledger = gate.ledger()
    assert ledger.requests == len(numbers)
    assert ledger.paid == model.charged
    assert ledger.paid.calls + ledger.failed == len(model.asked) == gate.budget.spent.calls
    assert ledger.failed == sum(asked.query.split()[3] in ("7.", "14.") for asked in model.asked)
    assert ledger.unparsed == sum(number % 5 == 0 for number in numbers)
    assert ledger.cached == ledger.requests - len(model.asked)
    assert len(gate.cache) == ledger.paid.calls


def test_a_failed_request_is_counted_and_asked_again() -> None:
    model = ScriptedLanguageModel({"": (-1.0, -1.0)}, failing={0})
    gate = gateway(model)
    assert at_once(gate.ask(prompts(1), LABELS)) == [None]
    assert gate.ledger().failed == 1
    assert at_once(gate.ask(prompts(1), LABELS)) != [None]
    assert (gate.ledger().failed, gate.ledger().paid.calls, gate.ledger().cached) == (1, 1, 0)


def test_repeats_with_another_sample_index_are_repeats() -> None:
    model = ScriptedLanguageModel(by_number)
    gate = gateway(model)
    for sample in (0, 1, 1, 0):
        at_once(gate.ask(prompts(1), LABELS, sample))
    assert len(model.asked) == 2


def test_a_model_that_does_not_suspend_makes_ask_not_suspend() -> None:
    pocket = PocketLanguageModel()
    praise, blame = (Prompt((), f"It was {word}. Answer:") for word in ("superb", "awful"))
    gate = gateway(pocket, Limits(calls=10))
    for _ in range(2):
        answers = at_once(gate.ask([praise, blame, praise], LABELS))
        assert answers[0] == answers[2] != answers[1]
    assert gate.ledger().paid == pocket.max_usage(praise) + pocket.max_usage(blame)


# ------------------------------------------------------------------ in flight
def test_an_equal_request_under_way_is_joined() -> None:
    model = Ticking(by_number, [5, 5])
    gate = gateway(model)

    async def main() -> list[list[Answer | None]]:
        return await asyncio.gather(
            gate.ask(prompts(1, 7), LABELS), gate.ask(prompts(2, 7, 1), LABELS)
        )

    first, second = asyncio.run(main())
    assert model.asked in (prompts(1, 7, 2), prompts(2, 1, 7))
    assert (second[2], second[1]) == (first[0], None)
    assert (gate.ledger().cached, gate.ledger().failed) == (2, 1)


@pytest.mark.parametrize("gives_up", [0, 1])
def test_one_that_gives_up_takes_no_answer_from_the_other(gives_up: int) -> None:
    model = Ticking(by_number, [9, 9])
    gate = gateway(model, Limits(calls=1))

    async def main() -> list[Answer | None]:
        tasks = [asyncio.create_task(gate.ask(prompts(1), LABELS)) for _ in range(2)]
        for _ in range(3):
            await asyncio.sleep(0)
        tasks[gives_up].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[gives_up]
        return await tasks[1 - gives_up]

    (answer,) = asyncio.run(main())
    assert answer is not None
    assert len(model.asked) == gate.ledger().paid.calls == gate.ledger().requests == 1


def test_a_model_that_cannot_be_used_stops_everyone_and_charges_nobody() -> None:
    def refuse(asked: Prompt, labels: Sequence[str]) -> str:
        raise ModelError("no such key", provider="scripted", status=401)

    gate = gateway(Ticking(refuse, [3, 3, 3]), Limits(calls=5))

    async def main() -> list[Any]:
        asks = (gate.ask(prompts(1), LABELS) for _ in range(2))
        return await asyncio.gather(*asks, return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [ModelError, ModelError]
    assert gate.budget.remaining() == Limits(calls=5)
    assert gate.ledger().requests == len(gate.cache) == 0


def said(text: str) -> Any:
    return lambda asked, labels: text if "number" in asked.query else labels[0]


def test_answers_without_a_label_stop_whoever_watches_after_some_tens_in_a_row() -> None:
    model = ScriptedLanguageModel(said("I cannot help with that."))
    model.batch = 1
    gate = gateway(model)
    with pytest.raises(
        ModelError, match="40 answers in a row name none of 'great', 'terri"
    ) as stop:
        at_once(gate.predict(prompts(*range(100)), LABELS, "text", watched=True))
    assert len(model.asked) == gate.ledger().paid.calls == 40
    # What the model said is shown, and not part of what may be recorded.
    assert stop.value.__notes__ == ["the last answer: 'I cannot help with that.'"]
    assert "cannot help" not in str(stop.value)


@pytest.mark.parametrize("watched", [False, True])
def test_a_label_among_them_lets_a_run_go_on(watched: bool) -> None:
    def script(asked: Prompt, labels: Sequence[str]) -> str:
        number = int(asked.query.split()[3].rstrip("."))
        return "great" if watched and number % 39 == 38 else "who knows"

    model = ScriptedLanguageModel(script)
    model.batch = 1
    found = at_once(gateway(model).predict(prompts(*range(100)), LABELS, "text", watched=watched))
    assert len(found) == 100
    assert found.unparsed >= 98


def test_answers_out_of_the_cache_are_no_news() -> None:
    model, cache = ScriptedLanguageModel(said("who knows")), AnswerCache(":memory:")
    asked = prompts(*range(30))
    for _ in range(3):
        at_once(gateway(model, cache=cache).predict(asked, LABELS, "text", watched=True))
    assert len(model.asked) == 30
