"""What a gateway sends is within the budget, whatever is asked at once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lm.gateways import LABELS, Ticking, at_once, by_number, gateway, prompt, prompts

from asyndbt.lm import Answer, BudgetExhausted, Limits, Usage
from asyndbt.testing import ScriptedLanguageModel


def test_nothing_is_sent_that_might_exceed_the_budget() -> None:
    model = ScriptedLanguageModel(by_number)
    gate = gateway(model, Limits(calls=3))
    at_once(gate.ask(prompts(1, 2), LABELS))
    with pytest.raises(BudgetExhausted) as caught:
        at_once(gate.ask(prompts(1, 2, 3, 4), LABELS))
    assert caught.value.needed.calls == 2
    assert len(model.asked) == 2
    assert gate.ledger().requests == 2
    # What is known is free, and what fits still goes through.
    assert at_once(gate.ask(prompts(2, 3, 1), LABELS)) is not None
    assert gate.budget.remaining() == Limits(calls=0)
    at_once(gate.ask(prompts(1, 2, 3), LABELS))


def test_failed_requests_count_against_the_cap_on_calls() -> None:
    gate = gateway(ScriptedLanguageModel(by_number), Limits(calls=2))
    at_once(gate.ask(prompts(7, 14), LABELS))
    with pytest.raises(BudgetExhausted):
        at_once(gate.ask(prompts(7), LABELS))


def test_the_estimate_is_what_ask_then_costs() -> None:
    model = ScriptedLanguageModel({"": (-1.0, -2.0)}, price=0.5)
    gate = gateway(model)
    at_once(gate.ask(prompts(1, 2), LABELS))
    before, bound = gate.ledger().paid, gate.estimate(prompts(2, 3, 4, 3), LABELS)
    at_once(gate.ask(prompts(2, 3, 4, 3), LABELS))
    assert before + bound == gate.ledger().paid
    assert gate.estimate(prompts(2, 3, 4, 3), LABELS) == Usage()


@given(
    batches=st.lists(st.lists(st.integers(1, 15), max_size=6), min_size=1, max_size=8),
    ticks=st.lists(st.integers(0, 6), max_size=8),
    starts=st.lists(st.integers(0, 4), min_size=8, max_size=8),
    calls=st.integers(0, 20),
    reserved=st.integers(0, 5),
)
def test_concurrent_asks_share_requests_and_never_exceed_the_budget(
    batches: list[list[int]], ticks: list[int], starts: list[int], calls: int, reserved: int
) -> None:
    model = Ticking(by_number, ticks, price=0.25)
    gate = gateway(model, Limits(calls=calls, money=0.25 * 15))
    gate.budget.reserve("evaluation", Usage(calls=reserved))

    async def one(numbers: list[int], start: int) -> list[Answer | None] | BudgetExhausted:
        for _ in range(start):
            await asyncio.sleep(0)
        try:
            return await gate.ask(prompts(*numbers), LABELS)
        except BudgetExhausted as error:
            return error

    async def main() -> list[list[Answer | None] | BudgetExhausted]:
        return await asyncio.gather(*map(one, batches, starts))

    results = asyncio.run(main())
    assert model.worst.calls <= max(0, calls - reserved)
    assert model.most_money <= 0.25 * 15  # what failed has cost nothing and may be sent again
    answered = [
        (number, answer)
        for numbers, result in zip(batches, results, strict=True)
        if not isinstance(result, BudgetExhausted)
        for number, answer in zip(numbers, result, strict=True)
    ]
    for number, answer in answered:
        assert (answer is None) == (number % 7 == 0)
    ledger = gate.ledger()
    assert ledger.requests == len(answered)
    assert ledger.paid == model.charged
    assert ledger.paid.calls == len(gate.cache)
    good = [
        asked for asked in model.asked if asked.query not in (prompt(7).query, prompt(14).query)
    ]
    assert len(set(good)) == len(good)
    gate.budget.release("evaluation")
    assert gate.budget.remaining().calls == calls - len(model.asked)
