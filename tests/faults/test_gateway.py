"""What a gateway makes of everything that goes wrong on the way to an endpoint, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from tests.clocks import ToldLoop
from tests.faults import server as faults
from tests.faults.server import FaultServer, Reply, Request, completion, failure

from asyndbt.errors import ModelError
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
    read_answers,
)
from asyndbt.lm.providers.openai import OpenAILanguageModel

LABELS = ("great", "terrible")
HELD = faults.timeout(600.0)
GOOD = completion("great", logprobs=[{"great": -0.1, "terrible": -2.3}])


def prompts(count: int) -> list[Prompt]:
    return [Prompt((), f"It was number {number}. Answer:") for number in range(count)]


def gateway(
    server: FaultServer,
    limits: Limits | None = None,
    *,
    max_retries: int = 2,
    most: int = 1,
    limiter: Limiter | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    **options: Any,
) -> Gateway:
    # At such prices the sums are exact in any order.
    model = OpenAILanguageModel(
        model="m", base_url=server.url, price_in=250_000.0, price_out=500_000.0, **options
    )
    policy = RetryPolicy(limiter or Limiter(most), max_retries, first_delay=0.001, sleep=sleep)
    return Gateway(model, AnswerCache(":memory:"), Budget(limits or Limits()), policy)


def ask(
    gate: Gateway,
    count: int,
    labels: Sequence[str] = LABELS,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> list[Answer | None]:
    async def once() -> list[Answer | None]:
        try:
            return await gate.ask(prompts(count), labels)
        finally:
            await gate.model.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(once())


class Waiting:
    """Replies in their order; over one that is held the time runs out, and over nothing else.

    Who asks waits for the server as long as it takes, and for anything else not at all.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = replies
        self._loop: ToldLoop

    def __call__(self, number: int, request: Request) -> Reply:
        if self._replies[number] is HELD:
            self._loop.advance(600.0)
        return self._replies[number]

    def gateway(self, server: FaultServer, **options: Any) -> Gateway:
        limiter = Limiter(1, clock=lambda: self._loop.time(), sleep=self._sleep)
        return gateway(server, limiter=limiter, sleep=self._sleep, **options)

    def ask(self, gate: Gateway, count: int) -> list[Answer | None]:
        self._loop = ToldLoop()
        return ask(gate, count, new_loop=lambda: self._loop)

    async def _sleep(self, seconds: float) -> None:
        self._loop.advance(seconds)
        await asyncio.sleep(0)


def assert_the_ledger_is_the_servers_count(gate: Gateway, server: FaultServer, paid: int) -> None:
    ledger = gate.ledger()
    assert ledger.sent == server.count
    assert ledger.paid.calls == paid
    assert ledger.attempts == server.count - paid == sum(gate.cache.attempts.reasons().values())
    # What a stop broke off was sent, but is not counted as asked for.
    assert ledger.cached == max(0, ledger.requests - paid - ledger.failed)
    assert ledger.refused == sum(gate.cache.refused().values())
    assert gate.budget.spent == ledger.spent


# ------------------------------------------------------------------ what is sent again
LATER = {"retry_after": "0.02"}
SENT_AGAIN = {
    "429 with seconds": (failure(429, **LATER), "rate limit", False),
    "429 with milliseconds": (failure(429, retry_after_ms="20"), "rate limit", False),
    "429 alone": (failure(429), "rate limit", False),
    "500": (failure(500), "http 500", False),
    "502": (failure(502), "http 502", False),
    "503 with seconds": (failure(503, **LATER), "http 503", False),
    "504": (failure(504), "http 504", False),
    "529": (failure(529), "http 529", False),
    "no reply in time": (HELD, "timeout", True),
    "reset before a byte": (faults.reset(), "connection lost", True),
    "reset in the middle": (faults.reset_midway(), "connection lost", True),
    "broken JSON": (faults.broken_json(), "broken reply", True),
    "a web page": (faults.html(), "broken reply", True),
    "another shape": (faults.wrong_shape(), "broken reply", True),
    "no choices": (faults.no_choices(), "no choices", True),
}


@pytest.mark.parametrize(("fault", "why", "billed"), SENT_AGAIN.values(), ids=SENT_AGAIN)
def test_a_fault_is_sent_again_and_charged_only_if_it_may_be_billed(
    fault: Reply, why: str, billed: bool
) -> None:
    script = Waiting(GOOD, fault, GOOD)
    with FaultServer(script) as server:
        gate = script.gateway(server)
        assert None not in script.ask(gate, 2)
        bound = gate.model.max_usage(prompts(2)[1])
        assert script.ask(gate, 2) == script.ask(gate, 2)
    assert gate.cache.attempts.reasons() == {why: 1}
    assert gate.ledger().failed == 0
    assert (gate.ledger().lost.calls, gate.ledger().lost.money > 0) == (billed, billed)
    assert gate.ledger().lost == Usage() or gate.ledger().lost.tokens >= bound.tokens
    assert_the_ledger_is_the_servers_count(gate, server, paid=2)
    assert server.count == 3


@pytest.mark.parametrize(("fault", "why", "billed"), SENT_AGAIN.values(), ids=SENT_AGAIN)
def test_without_retries_a_fault_is_one_request_and_no_answer(
    fault: Reply, why: str, billed: bool
) -> None:
    script = Waiting(fault, GOOD)
    with FaultServer(script) as server:
        gate = script.gateway(server, max_retries=0)
        assert script.ask(gate, 1) == [None]
        assert (server.count, gate.ledger().failed) == (1, 1)
        assert_the_ledger_is_the_servers_count(gate, server, paid=0)
        # Nobody refused it, so that it is sent when it is asked for again, and then never more.
        assert None not in script.ask(gate, 1) + script.ask(gate, 1)
    assert gate.cache.attempts.reasons() == {why: 1}
    assert gate.ledger().lost.calls == billed
    assert_the_ledger_is_the_servers_count(gate, server, paid=1)
    assert server.count == 2


@pytest.mark.parametrize(
    "fault",
    [failure(429, **LATER), failure(429, retry_after_ms="20"), failure(503, **LATER)],
    ids=["seconds", "milliseconds", "503"],
)
def test_the_wait_is_the_one_that_was_asked_for(fault: Reply) -> None:
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    with FaultServer([fault, GOOD]) as server:
        assert None not in ask(gateway(server, sleep=nap), 1)
    assert len(naps) == 1
    assert 0.02 <= naps[0] <= 0.02 + 0.001


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_counted(retries: int) -> None:
    with FaultServer(lambda number, request: failure(500)) as server:
        gate = gateway(server, max_retries=retries, most=4)
        assert ask(gate, 3) == [None] * 3
    assert server.count == 3 * (1 + retries)
    assert gate.ledger().failed == 3
    assert_the_ledger_is_the_servers_count(gate, server, paid=0)


def test_an_endpoint_that_is_not_there_costs_nothing() -> None:
    with FaultServer([]) as server:
        gate = gateway(server)
    assert ask(gate, 1) == [None]
    assert gate.cache.attempts.reasons() == {"connection": 3}
    assert gate.ledger().spent == Usage()


# ------------------------------------------------------------------ what is never sent again
TOO_LONG = failure(400, "too many tokens", code="context_length_exceeded")
REFUSED = {
    "filtered with 200": (faults.filtered(), "content filter", 10),
    "filtered with 400": (faults.refused_content(), "content filter", 0),
    "refused in words": (completion(None, usage=(10, 3), refusal="no"), "content filter", 13),
    "too long with 400": (TOO_LONG, "too long", 0),
    "too long with 413": (failure(413), "too long", 0),
}


@pytest.mark.parametrize(("reply", "why", "tokens"), REFUSED.values(), ids=REFUSED)
def test_a_refused_prompt_is_no_answer_for_good(reply: Reply, why: str, tokens: int) -> None:
    with FaultServer([GOOD, reply, GOOD]) as server:
        gate = gateway(server)
        first = ask(gate, 3)
        assert [answer is None for answer in first] == [False, True, False]
        assert ask(gate, 3) == first
    ledger = gate.ledger()
    assert (server.count, ledger.refused, ledger.failed, ledger.attempts) == (3, 1, 0, 0)
    assert gate.cache.refused() == {why: 1}
    assert ledger.paid.tokens == 2 * 11 + tokens
    assert_the_ledger_is_the_servers_count(gate, server, paid=3)


def test_a_prompt_that_is_not_accepted_is_given_up_for_now() -> None:
    with FaultServer([GOOD, failure(400, "something about this prompt"), GOOD, GOOD]) as server:
        gate = gateway(server)
        assert [answer is None for answer in ask(gate, 3)] == [False, True, False]
        assert gate.ledger().failed == 1
        assert None not in ask(gate, 3)
    assert gate.cache.attempts.reasons() == {"rejected": 1}
    assert_the_ledger_is_the_servers_count(gate, server, paid=3)


# ------------------------------------------------------------------ what stops a run
STOPS = {
    "bad key": (failure(401, "that key is not known"), "that key.*lm.api_key_env"),
    "key without rights": (failure(403, "not for your project"), "not for your.*lm.api_key_env"),
    "nothing paid": (failure(402, "please pay"), "please pay.*the account"),
    "quota used up": (
        failure(429, "you spent it all", code="insufficient_quota", retry_after="1"),
        "you spent it all.*the account",
    ),
    "no such model": (failure(404, "there is no m"), "there is no m.*lm.model"),
    "never accepted": (failure(400, "what is this"), "what is this"),
    "hours to wait": (failure(429, "busy", retry_after="7200"), "busy.*7,200 seconds"),
}


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize(("reply", "words"), STOPS.values(), ids=STOPS)
def test_what_no_request_survives_stops_at_once_in_the_providers_words(
    reply: Reply, words: str, most: int
) -> None:
    with FaultServer(lambda number, request: reply) as server:
        gate = gateway(server, most=most)
        with pytest.raises(ModelError, match=words) as stop:
            ask(gate, 30)
    assert stop.value.status == reply.status
    assert 1 <= server.count <= most
    assert gate.ledger().spent == Usage()
    assert_the_ledger_is_the_servers_count(gate, server, paid=0)


def test_answers_on_their_way_when_a_run_stops_are_kept() -> None:
    bad = failure(401, "the key has just ended", delay=0.05)
    with FaultServer(lambda number, request: bad if number == 2 else GOOD) as server:
        gate = gateway(server, most=4)
        with pytest.raises(ModelError, match="just ended"):
            ask(gate, 200)
        paid = server.count - 1
        assert len(gate.cache) == paid
    assert_the_ledger_is_the_servers_count(gate, server, paid=paid)


# ------------------------------------------------------------------ all at once
FREE = [failure(429), failure(429, **LATER), failure(500), failure(503, **LATER)]
BILLED = [
    faults.reset(),
    faults.reset_midway(),
    faults.broken_json(),
    faults.html(),
    faults.no_choices(),
]


def chance(seed: int, share: float, replies: Sequence[Reply]) -> Callable[[int, Request], Reply]:
    """A share of the requests meets one of the replies, by chance; the rest is answered."""
    rng = random.Random(seed)
    fates = [rng.choice(replies) if rng.random() < share else GOOD for _ in range(2000)]
    return lambda number, request: fates[number]


@pytest.mark.parametrize("seed", range(4))
def test_no_prompt_is_answered_twice_whatever_happens(seed: int) -> None:
    with FaultServer(chance(seed, 0.3, FREE + BILLED)) as server:
        gate = gateway(server, max_retries=9, most=8)

        async def everybody() -> list[list[Answer | None]]:
            asking = (gate.ask(prompts(25 + size), LABELS) for size in range(5))
            try:
                return await asyncio.gather(*asking)
            finally:
                await gate.model.close()

        answers = asyncio.run(everybody())
    assert not any(None in each for each in answers)
    lost = gate.ledger().lost.calls
    bodies = Counter(json.dumps(each.body) for each in server.requests)
    assert len(bodies) == 29 == gate.ledger().paid.calls
    assert 0 < lost < gate.ledger().attempts
    assert_the_ledger_is_the_servers_count(gate, server, paid=29)


@pytest.mark.parametrize("seed", range(4))
def test_a_cap_is_a_cap_at_the_server_too(seed: int) -> None:
    cap = 40
    with FaultServer(chance(seed, 0.25, [*FREE, *BILLED, faults.filtered()])) as server:
        gate = gateway(server, Limits(calls=cap), max_retries=1, most=8)
        for size in range(8, 32, 8):
            with suppress(BudgetExhausted):
                ask(gate, size)
        with pytest.raises(BudgetExhausted):
            ask(gate, 80)
    answered = gate.ledger().paid.calls
    assert answered <= gate.ledger().spent.calls <= cap
    assert_the_ledger_is_the_servers_count(gate, server, paid=answered)


# ------------------------------------------------------------------ answers in text
TEXTS = {
    "GREAT": 0,
    " great\n": 0,
    "**Terrible**.": 1,
    "“great”!": 0,
    "The sentiment is clearly terrible, I think.": 1,
    "<think>It may be terrible.</think>great": 0,
    "Das ist großartig.": None,
    "这很好": None,
    "great or terrible": None,
    "I cannot tell.": None,
    "greatly": None,
    "?!": None,
    "": None,
}


@pytest.mark.parametrize("gold", [0, 1])
def test_answers_in_text_are_read_or_counted_as_unparsed(gold: int) -> None:
    count = len(TEXTS)
    with FaultServer([*(completion(text) for text in TEXTS), completion(None)]) as server:
        gate = gateway(server, feedback="text")
        answers = ask(gate, count + 1)
        assert ask(gate, count + 1) == answers
    expected = [*TEXTS.values(), None]
    unnamed = expected.count(None)
    found = read_answers(answers, LABELS, "text", smoothing=0.2)
    judged = found.judge([gold] * len(answers))
    cost = {None: math.log(2), gold: -math.log(0.8), 1 - gold: -math.log(0.2)}
    np.testing.assert_allclose(judged.loss, [cost[label] for label in expected])
    assert judged.correct.tolist() == [float(label == gold) for label in expected]
    assert found.unparsed == unnamed
    assert gate.ledger().unparsed == 2 * unnamed
    assert gate.ledger().failed == gate.ledger().refused == 0
    assert_the_ledger_is_the_servers_count(gate, server, paid=count + 1)


def test_labels_of_another_script_are_read_in_a_sentence() -> None:
    with FaultServer([completion("答案是正面。"), completion("negatif değil")]) as server:
        answers = ask(gateway(server, feedback="text"), 2, ("负面", "正面"))
    judged = read_answers(answers, ("负面", "正面"), "text").judge([1, 1])
    assert judged.loss == pytest.approx([-math.log(0.9), math.log(2)])
