import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyndbt.errors import ModelError
from asyndbt.lm import (
    Answer,
    AnswerCache,
    Budget,
    BudgetExhausted,
    Gateway,
    Limits,
    PocketLanguageModel,
    Prompt,
    ScriptedLanguageModel,
    Tally,
    Usage,
)

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
        bound = sum(map(self.estimate, prompts), Usage())
        self.worst += bound
        self.flying += bound.money
        self.most_money = max(self.most_money, self.charged.money + self.flying)
        for _ in range(self.ticks.pop() if self.ticks else 1):
            await asyncio.sleep(0)
        answers = await super().score(prompts, labels)
        self.flying -= bound.money
        return answers


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


@settings(deadline=None)
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
    assert gate.ledger().paid == pocket.estimate(praise) + pocket.estimate(blame)


# ------------------------------------------------------------------ the budget
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


@settings(deadline=None)
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


# ------------------------------------------------------------------ resume
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


def test_what_is_back_is_no_longer_held() -> None:
    budget = Budget(Limits(calls=10))
    with budget.hold(Usage(calls=8)) as narrow:
        budget.charge(Usage(calls=3))
        narrow(Usage(calls=4))
        assert budget.remaining().calls == 3
    assert budget.remaining().calls == 7


@settings(deadline=None, max_examples=30)
@given(
    steps=st.lists(st.lists(st.integers(1, 15), min_size=1, max_size=5), min_size=1, max_size=8),
    saved=st.integers(0, 7),
    killed=st.integers(0, 7),
)
def test_killed_and_resumed_equals_uninterrupted(
    steps: list[list[int]], saved: int, killed: int
) -> None:
    def walk(gate: Gateway, part: list[list[int]]) -> None:
        for numbers in part:
            at_once(gate.ask(prompts(*numbers), LABELS))

    whole = gateway(ScriptedLanguageModel(by_number, price=0.1))
    walk(whole, steps)

    cache, saved = AnswerCache(":memory:"), min(saved, killed)
    first = gateway(ScriptedLanguageModel(by_number, price=0.1), cache=cache)
    walk(first, steps[:saved])
    checkpoint = first.tally
    walk(first, steps[saved:killed])

    resumed = gateway(ScriptedLanguageModel(by_number, price=0.1), cache=cache)
    resumed.restore(checkpoint)
    assert resumed.ledger().cached >= 0
    walk(resumed, steps[saved:])
    assert resumed.ledger() == whole.ledger()
    assert resumed.budget.spent == whole.budget.spent
    assert resumed.tally == whole.tally


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

    gate.restore(Tally(**state["tally"]))
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
        tally = asdict(gate.tally)
        state.update(log=log, looks=looks, tally=tally, done=done)
    gate.budget.release("looks")
    return {**state, "left": gate.budget.remaining(), "ledger": gate.ledger()}


@settings(deadline=None, max_examples=40)
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


@settings(deadline=None, max_examples=40)
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
    cache, charged, tallies = AnswerCache(":memory:"), 0, [Tally()]
    for saved, batches in sittings:
        model = ScriptedLanguageModel({"": (-1.0, -2.0)})
        gate = Gateway(model, cache, Budget(Limits(calls=calls)))
        gate.restore(tallies[-1 - saved % len(tallies)])
        for numbers in batches:
            with suppress(BudgetExhausted):
                at_once(gate.ask(prompts(*numbers), LABELS))
            tallies.append(gate.tally)
        charged += model.charged.calls
    assert charged == cache.total().calls <= calls


def test_a_restored_tally_counts_its_failures_as_spent() -> None:
    gate = gateway(ScriptedLanguageModel(by_number), Limits(calls=5))
    gate.restore(Tally(requests=9, failed=4, unparsed=1))
    assert gate.tally == Tally(9, 4, 1)
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
