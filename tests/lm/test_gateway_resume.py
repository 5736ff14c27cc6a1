"""What was paid is not paid again: a second start, a broken batch, a kill, a shared cache."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lm.gateways import LABELS, at_once, by_number, gateway, prompts

from asyndbt.errors import ModelError
from asyndbt.lm import (
    AnswerCache,
    Budget,
    BudgetExhausted,
    Gateway,
    Ledger,
    Limits,
    Prompt,
    RequestCounts,
    Usage,
)
from asyndbt.testing import ScriptedLanguageModel


def test_a_second_start_with_the_same_cache_pays_nothing_again(tmp_path: Path) -> None:
    first, second = ScriptedLanguageModel(by_number), ScriptedLanguageModel(by_number)
    gate = gateway(first, cache=tmp_path / "c.sqlite")
    answers = at_once(gate.ask(prompts(1, 2, 3), LABELS))
    again = gateway(second, cache=tmp_path / "c.sqlite")
    assert at_once(again.ask(prompts(3, 2, 1), LABELS)) == answers[::-1]
    assert second.asked == []
    assert again.ledger() == gate.ledger()
    assert again.budget.spent == gate.budget.spent == gate.ledger().paid


def test_answers_are_stored_before_they_are_returned(tmp_path: Path) -> None:
    gate = gateway(ScriptedLanguageModel(by_number), cache=tmp_path / "c.sqlite")
    at_once(gate.ask(prompts(1, 2), LABELS))
    with AnswerCache(tmp_path / "c.sqlite") as other:
        assert len(other) == 2


def test_what_was_paid_in_a_long_batch_is_kept_when_it_breaks_off(tmp_path: Path) -> None:
    def breaks(asked: Prompt, labels: Sequence[str]) -> tuple[float, ...]:
        if "number 150." in asked.query:
            raise ModelError("no quota left", provider="scripted")
        return (-0.1, -1.0)

    many = prompts(*range(200))
    gate = gateway(ScriptedLanguageModel(breaks), Limits(calls=200), tmp_path / "a.sqlite")
    with pytest.raises(ModelError, match="quota"):
        asyncio.run(gate.ask(many, LABELS))
    assert gate.ledger().paid.calls == 128
    assert gate.budget.remaining().calls == 72, "nothing is in flight any more"

    model = ScriptedLanguageModel(lambda asked, labels: (-0.1, -1.0))
    again = gateway(model, Limits(calls=200), tmp_path / "a.sqlite")
    asyncio.run(again.ask(many, LABELS))
    assert len(model.asked) == 72
    assert again.ledger().paid.calls == 200


@settings(max_examples=30)
@given(
    steps=st.lists(st.lists(st.integers(1, 15), min_size=1, max_size=5), min_size=1, max_size=8),
    saved=st.integers(0, 7),
    killed=st.integers(0, 7),
)
def test_killed_and_resumed_equals_uninterrupted(
    steps: list[list[int]], saved: int, killed: int
) -> None:
    def walk(gate: Gateway, part: list[list[int]]) -> list[Ledger]:
        ledgers = []
        for numbers in part:
            at_once(gate.ask(prompts(*numbers), LABELS))
            ledgers.append(gate.ledger_so_far())
        return ledgers

    whole = gateway(ScriptedLanguageModel(by_number, price=0.1))
    ledgers = walk(whole, steps)

    cache, saved = AnswerCache(":memory:"), min(saved, killed)
    first = gateway(ScriptedLanguageModel(by_number, price=0.1), cache=cache)
    walk(first, steps[:saved])
    checkpoint = first.counts
    walk(first, steps[saved:killed])

    resumed = gateway(ScriptedLanguageModel(by_number, price=0.1), cache=cache)
    resumed.restore(checkpoint)
    assert resumed.ledger().cached >= 0
    repeated = walk(resumed, steps[saved:])
    assert repeated == ledgers[saved:] or whole.ledger().failed, "who fails is asked once more"
    assert resumed.ledger() == whole.ledger()
    assert resumed.budget.spent == whole.budget.spent
    assert resumed.counts == whole.counts


class InterruptionError(Exception):
    pass


def tuned(gate: Gateway, state: dict[str, Any], last_ask: int | None = None) -> dict[str, Any]:
    """A run whose every decision looks at the budget; `state` is its checkpoint, step by step."""
    asks = count()
    worst = Usage(calls=4, tokens_in=100, tokens_out=4, money=0.4)

    def ask(numbers: list[int]) -> None:
        at_once(gate.ask(prompts(*numbers), LABELS))
        if next(asks) == last_ask:
            raise InterruptionError

    gate.restore(RequestCounts(**state["tally"]))
    while not state["done"]:
        log, looks = [*state["log"]], state["looks"]
        gate.budget.reserve("looks", Usage(calls=3 * looks))
        for part in range(2):
            step = len(log) + part
            if gate.budget.affords(worst):
                log.append(gate.budget.remaining())
                ask([(step * k) % 11 + 1 for k in (1, 2, 3, 5)])
        look = [20, 22, 23 + looks]
        if looks and gate.estimate(prompts(*look), LABELS).calls:
            looks -= 1
            gate.budget.reserve("looks", Usage(calls=3 * looks))
        if gate.budget.affords(gate.estimate(prompts(*look), LABELS)):
            ask(look)
        done = not gate.budget.affords(worst) or len(log) > 20
        tally = asdict(gate.counts)
        state.update(log=log, looks=looks, tally=tally, done=done)
    gate.budget.release("looks")
    return {**state, "left": gate.budget.remaining(), "ledger": gate.ledger()}


@settings(max_examples=40)
@given(
    calls=st.integers(4, 40),
    money=st.sampled_from([0.9, 1.7, 2.3, 9.0]),
    kills=st.lists(st.integers(0, 12), max_size=3),
)
def test_decisions_about_the_budget_fall_alike_after_a_resume(
    calls: int, money: float, kills: list[int]
) -> None:
    def start() -> dict[str, Any]:
        return {"log": [], "looks": 2, "tally": {}, "done": False}

    def scored(asked: Prompt, labels: Sequence[str]) -> tuple[float, ...]:
        return (-1.0, -2.0)

    def model() -> ScriptedLanguageModel:
        return ScriptedLanguageModel(scored, price=0.1)

    limits = Limits(calls=calls, money=money)
    whole = tuned(gateway(model(), limits), start())
    cache, state = AnswerCache(":memory:"), start()
    for kill in kills:
        with suppress(InterruptionError):
            tuned(gateway(model(), limits, cache), state, last_ask=kill)
    assert tuned(gateway(model(), limits, cache), state) == whole


@settings(max_examples=40)
@given(
    sittings=st.lists(
        st.tuples(st.integers(0, 4), st.lists(st.lists(st.integers(1, 40), max_size=5))),
        max_size=4,
    ),
    calls=st.integers(0, 30),
)
def test_a_resumed_run_that_asks_other_things_stays_within_its_budget(
    sittings: list[tuple[int, list[list[int]]]], calls: int
) -> None:
    cache, charged, tallies = AnswerCache(":memory:"), 0, [RequestCounts()]
    for saved, batches in sittings:
        model = ScriptedLanguageModel({"": (-1.0, -2.0)})
        gate = Gateway(model, cache, Budget(Limits(calls=calls)))
        gate.restore(tallies[-1 - saved % len(tallies)])
        for numbers in batches:
            with suppress(BudgetExhausted):
                at_once(gate.ask(prompts(*numbers), LABELS))
            tallies.append(gate.counts)
        charged += model.charged.calls
    assert charged == cache.total().calls <= calls


def test_a_restored_tally_counts_its_failures_as_spent() -> None:
    gate = gateway(ScriptedLanguageModel(by_number), Limits(calls=5))
    gate.restore(RequestCounts(requests=9, failed=4, unparsed=1))
    assert gate.counts == RequestCounts(9, 4, 1)
    assert gate.budget.remaining() == Limits(calls=1)


def test_a_run_counts_only_its_own_payments_in_a_shared_cache(tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite"
    gates = []
    for payer in ("north", "south"):
        cache = AnswerCache(path, payer)
        gates.append(Gateway(ScriptedLanguageModel(by_number), cache, Budget(Limits(calls=3))))
    at_once(gates[0].ask(prompts(1, 2, 3), LABELS))
    at_once(gates[1].ask(prompts(2, 3, 4), LABELS))
    assert [gate.ledger().paid.calls for gate in gates] == [3, 1]
    assert [gate.ledger().cached for gate in gates] == [0, 2]
