"""Limiter and retry between budget and model: what is sent again, what is lost, what stops."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyndbt.errors import ExampleError, ModelError, RateLimitError, TransientError
from asyndbt.lm import (
    Answer,
    AnswerCache,
    Budget,
    BudgetExhausted,
    Gateway,
    Limiter,
    Limits,
    Prompt,
    RetryPolicy,
    Usage,
)
from asyndbt.testing import ScriptedLanguageModel

LABELS = ("great", "terrible")
Script = Callable[[int, Prompt], Any]


def prompts(count: int) -> list[Prompt]:
    return [Prompt((), f"It was number {number}. Answer:") for number in range(count)]


class Endpoint(ScriptedLanguageModel):
    """Does to its n-th request what a script says: an error is raised, the rest answered."""

    def __init__(self, script: Script, price: float = 0.0) -> None:
        super().__init__({"": (-0.1, -2.3)}, is_remote=True, price=price)
        self._does = script
        self.received = 0
        self.answered = 0

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        (prompt,) = prompts
        number, self.received = self.received, self.received + 1
        await asyncio.sleep(0)
        does = self._does(number, prompt)
        if isinstance(does, Exception):
            raise does
        self.answered += 1
        if isinstance(does, str):
            return [Answer(None, None, Usage(1, 3, 0), refusal=does)]
        return await super().score(prompts, labels)


class Naps(list[float]):
    """A sleep that is remembered, and takes time on its own clock alone."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)

    def clock(self) -> float:
        return sum(self)


def rate(retry_after: float | None = None) -> RateLimitError:
    return RateLimitError("slow down", provider="p", status=429, retry_after=retry_after)


def fault(kind: str = "timeout", charged: bool = True) -> TransientError:
    return TransientError("no answer", provider="p", kind=kind, charged=charged)


def gateway(
    model: Endpoint,
    limits: Limits | None = None,
    *,
    max_retries: int = 2,
    most: int = 4,
    cache: Path | str = ":memory:",
    naps: Naps | None = None,
) -> Gateway:
    sleep = Naps() if naps is None else naps
    limiter = Limiter(most, clock=sleep.clock, sleep=sleep)
    policy = RetryPolicy(limiter, max_retries, sleep=sleep)
    return Gateway(model, AnswerCache(cache), Budget(limits or Limits()), policy)


def ask(gate: Gateway, count: int) -> list[Answer | None]:
    return asyncio.run(gate.ask(prompts(count), LABELS))


def assert_the_ledger_is_the_endpoints_count(gate: Gateway, model: Endpoint) -> None:
    ledger = gate.ledger()
    assert ledger.sent == model.received
    assert ledger.paid.calls == model.answered
    assert ledger.attempts == model.received - model.answered
    assert gate.budget.spent == ledger.spent


def test_a_rate_limit_is_waited_out_and_costs_nothing() -> None:
    model, naps = Endpoint(lambda n, _: rate() if n < 2 else None), Naps()
    gate = gateway(model, naps=naps, most=1)
    assert None not in ask(gate, 3)
    assert (model.received, gate.ledger().lost) == (5, Usage())
    assert len(naps) == 2
    assert 0.25 <= naps[0] <= 0.5 <= naps[1] <= 1.0
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_the_endpoint_says_how_long_to_wait() -> None:
    naps = Naps()
    gate = gateway(Endpoint(lambda n, _: rate(7.0) if n == 0 else None), naps=naps, most=1)
    assert None not in ask(gate, 1)
    assert max(naps) >= 7.0


def test_a_wait_of_hours_stops_the_run_with_the_providers_words() -> None:
    gate = gateway(Endpoint(lambda n, _: rate(7200.0)))
    with pytest.raises(ModelError, match="slow down: asks to wait 7,200 seconds"):
        ask(gate, 1)


@pytest.mark.parametrize("error", [rate(), fault(), fault("http 500", charged=False)])
def test_no_retries_are_no_retries(error: ModelError) -> None:
    model, naps = Endpoint(lambda n, _: error), Naps()
    gate = gateway(model, max_retries=0, naps=naps)
    assert ask(gate, 3) == [None] * 3
    assert (model.received, naps, gate.ledger().failed) == (3, [], 3)
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_rate_limits_and_faults_have_retries_of_their_own() -> None:
    script = [rate(), fault(), rate(), fault(), None]
    model = Endpoint(lambda n, _: script[n])
    assert ask(gateway(model, max_retries=2), 1) != [None]


def test_what_may_have_been_billed_is_charged_at_the_most_it_may_cost() -> None:
    model = Endpoint(lambda n, _: fault() if n == 0 else None, price=0.5)
    gate = gateway(model)
    ask(gate, 1)
    assert gate.ledger().lost == model.max_usage(prompts(1)[0])
    assert gate.ledger().spent.money == 1.0
    assert gate.cache.attempts.reasons() == {"timeout": 1}
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_a_refused_prompt_is_stored_counted_and_never_sent_again() -> None:
    model = Endpoint(lambda n, p: "content filter" if "number 1." in p.query else None)
    gate = gateway(model)
    first = ask(gate, 3)
    assert [answer is None for answer in first] == [False, True, False]
    assert ask(gate, 3) == first
    ledger = gate.ledger()
    assert (model.received, ledger.refused, ledger.failed, ledger.cached) == (3, 1, 0, 3)
    assert gate.cache.refused() == {"content filter": 1}
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_a_bad_key_stops_at_once_and_keeps_what_was_under_way() -> None:
    model = Endpoint(
        lambda n, _: ModelError("invalid key", provider="p", status=401) if n == 0 else None
    )
    gate = gateway(model, most=4)
    with pytest.raises(ModelError, match="invalid key"):
        ask(gate, 40)
    assert model.received <= 4
    assert len(gate.cache) == model.received - 1
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_an_endpoint_that_is_down_is_not_asked_to_the_end_of_the_budget() -> None:
    model = Endpoint(lambda n, _: fault("connection", charged=False) if n >= 10 else None)
    with pytest.raises(ModelError, match="20 requests in a row brought no answer; the last: no an"):
        ask(gateway(model, max_retries=1), 500)
    assert model.received < 10 + 2 * 20 + 2 * 4


def test_interrupted_requests_count_as_spent() -> None:
    model = Endpoint(lambda n, _: None)
    gate = gateway(model)

    async def main() -> None:
        asking = asyncio.create_task(gate.ask(prompts(4), LABELS))
        while model.received < 4:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())
    ledger = gate.ledger()
    assert ledger.sent == model.received
    assert ledger.spent.calls == model.received


def test_what_was_under_way_in_a_killed_process_counts_as_spent(tmp_path: Path) -> None:
    model = Endpoint(lambda n, _: None)
    killed = gateway(model, cache=tmp_path / "answers")
    killed.cache.attempts.begin(b"under way", Usage(1, 100, 5, 0.25))
    del killed
    gate = gateway(model, Limits(calls=3), cache=tmp_path / "answers")
    assert gate.budget.spent == Usage(1, 100, 5, 0.25)
    assert gate.cache.attempts.reasons() == {"interrupted": 1}
    assert None not in ask(gate, 2)
    with pytest.raises(BudgetExhausted):
        ask(gate, 3)


_FATES = st.sampled_from(["ok", "ok", "ok", "rate", "billed fault", "free fault", "refused"])


@settings(max_examples=60)
@given(
    fates=st.lists(_FATES, max_size=60),
    batches=st.lists(st.integers(0, 12), max_size=5),
    cap=st.integers(0, 30),
    retries=st.integers(0, 3),
)
def test_no_cap_is_exceeded_and_the_ledger_is_exact_whatever_the_endpoint_does(
    fates: list[str], batches: list[int], cap: int, retries: int
) -> None:
    does = {"rate": rate(), "billed fault": fault(), "free fault": fault("x", charged=False)}

    def script(number: int, prompt: Prompt) -> Any:
        fate = fates[number] if number < len(fates) else "ok"
        return "content filter" if fate == "refused" else does.get(fate)

    model = Endpoint(script, price=1.0)
    gate = gateway(model, Limits(calls=cap, money=float(cap)), max_retries=retries)
    for size in batches:
        try:
            answers = ask(gate, size)
        except BudgetExhausted:
            continue
        assert len(answers) == size
    assert gate.budget.spent.calls <= cap
    assert gate.budget.spent.money <= cap
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_no_prompt_is_answered_twice() -> None:
    seen: Counter[str] = Counter()

    def script(number: int, prompt: Prompt) -> Any:
        if number % 3 == 0:
            return fault()
        seen[prompt.query] += 1
        return None

    gate = gateway(Endpoint(script), max_retries=5)

    async def main() -> None:
        await asyncio.gather(*(gate.ask(prompts(20), LABELS) for _ in range(5)))

    asyncio.run(main())
    assert set(seen.values()) == {1}


def test_nothing_is_sent_after_a_failure_however_many_wait_for_their_turn() -> None:
    denied = ModelError("invalid key", provider="p", status=401)
    naps = Naps()
    model = Endpoint(lambda n, _: rate(300.0) if n == 0 else denied)
    gate = gateway(model, most=32, naps=naps)
    with pytest.raises(ModelError, match="invalid key"):
        ask(gate, 100)
    assert model.received <= 5
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_a_fault_that_asks_for_hours_stops_the_run_too() -> None:
    long = TransientError(
        "down", provider="p", kind="http 503", charged=False, status=503, retry_after=86_400.0
    )
    with pytest.raises(ModelError, match="asks to wait 86,400 seconds"):
        ask(gateway(Endpoint(lambda n, _: long)), 3)


def test_a_prompt_that_cannot_be_answered_is_given_up_and_not_remembered() -> None:
    model = Endpoint(
        lambda n, _: ExampleError("HTTP 422", provider="p", status=422) if n == 1 else None
    )
    gate = gateway(model, most=1)
    assert [answer is None for answer in ask(gate, 3)] == [False, True, False]
    assert (gate.ledger().failed, gate.ledger().lost) == (1, Usage())
    assert None not in ask(gate, 3)
    assert_the_ledger_is_the_endpoints_count(gate, model)


def test_prompts_that_all_cannot_be_answered_stop_the_run() -> None:
    error = ExampleError("HTTP 400: no", provider="p", status=400)
    with pytest.raises(ModelError, match="20 requests in a row brought no answer; the last: HTTP"):
        ask(gateway(Endpoint(lambda n, _: error)), 100)
