"""Concurrency rises slowly, falls when the endpoint says so, and caps hold over any minute."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyndbt.lm import Limiter


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def limiter(clock: Clock, **caps: int) -> Limiter:
    return Limiter(**caps, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_at_most_so_many_are_under_way_and_all_get_their_turn() -> None:
    gate, peak, done = limiter(Clock(), most=6), 0, []
    under_way = 0

    async def one(number: int) -> None:
        nonlocal under_way, peak
        async with gate.slot():
            under_way += 1
            peak = max(peak, under_way)
            assert under_way <= gate.allowed
            await asyncio.sleep(0)
            under_way -= 1
            gate.answered()
        done.append(number)

    async def all_at_once() -> None:
        await asyncio.gather(*map(one, range(100)))

    run(all_at_once)
    assert peak == 6
    assert done == list(range(100))


def test_it_opens_one_by_one_until_the_first_refusal_and_slower_after_it() -> None:
    gate = limiter(Clock(), most=100)
    first = gate.allowed
    for _ in range(20):
        gate.answered()
    assert gate.allowed == first + 20
    gate.turned_away(sent_at=0.0)
    assert gate.allowed == (first + 20) // 2
    halved = gate.allowed
    for _ in range(halved):
        gate.answered()
    assert gate.allowed == halved  # about a round of answers for one more
    for _ in range(halved):
        gate.answered()
    assert halved < gate.allowed <= halved + 2


def test_requests_sent_together_and_refused_together_halve_it_once() -> None:
    clock = Clock()
    gate = limiter(clock, most=64)
    for _ in range(60):
        gate.answered()
    clock.now = 5.0
    for _ in range(30):
        gate.turned_away(sent_at=4.0)
    assert gate.allowed == 32
    gate.turned_away(sent_at=6.0)
    assert gate.allowed == 16


def test_it_never_closes_for_good() -> None:
    clock = Clock()
    gate = limiter(clock, most=8)
    for moment in range(50):
        clock.now = moment + 1.0
        gate.turned_away(sent_at=moment + 0.5)
    assert gate.allowed == 1


def test_nobody_is_sent_before_the_endpoint_wants_requests_again() -> None:
    clock = Clock()
    gate, sent = limiter(clock, most=4), []

    async def work() -> None:
        async with gate.slot() as now:
            gate.turned_away(now, retry_after=7.5)
        for _ in range(3):
            async with gate.slot() as now:
                sent.append(now)

    run(work)
    assert sent == [7.5] * 3


@pytest.mark.parametrize("cap", [1, 3, 10])
def test_requests_a_minute_hold_over_any_minute(cap: int) -> None:
    clock = Clock()
    gate, sent = limiter(clock, most=50, requests_per_minute=cap), []

    async def one() -> None:
        async with gate.slot() as now:
            sent.append(now)
            await clock.sleep(0.3)

    async def work() -> None:
        await asyncio.gather(*(one() for _ in range(4 * cap)))

    run(work)
    sent.sort()
    assert len(sent) == 4 * cap
    for earlier, later in zip(sent, sent[cap:], strict=False):
        assert later - earlier >= 60.0 - 1e-6


@settings(max_examples=30)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=30))
def test_tokens_a_minute_hold_and_a_larger_request_goes_alone(sizes: list[int]) -> None:
    clock = Clock()
    gate = limiter(clock, most=5, tokens_per_minute=60)
    sent: list[tuple[float, int]] = []

    async def one(size: int) -> None:
        async with gate.slot(size) as now:
            sent.append((now, size))

    async def work() -> None:
        await asyncio.gather(*map(one, sizes))

    run(work)
    assert sorted(size for _, size in sent) == sorted(sizes)
    for start, _ in sent:
        within = [size for moment, size in sent if start - 60.0 < moment <= start]
        assert sum(within) <= 60 or len(within) == 1


def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    gate, order = limiter(Clock(), most=1), []
    release = None

    async def holder() -> None:
        async with gate.slot():
            await release.wait()  # type: ignore[attr-defined]

    async def waiter(name: str) -> None:
        async with gate.slot():
            order.append(name)

    async def work() -> None:
        nonlocal release
        release = asyncio.Event()
        first = asyncio.create_task(holder())
        await asyncio.sleep(0)
        others = [asyncio.create_task(waiter(name)) for name in "abc"]
        await asyncio.sleep(0)
        others[0].cancel()
        release.set()
        await asyncio.gather(first, *others, return_exceptions=True)

    run(work)
    assert order == ["b", "c"]


def test_a_cancelled_wait_in_the_moment_of_its_turn_loses_no_place() -> None:
    for cancelled_after in itertools.count():
        if cancelled_after > 4:
            break
        gate, through = limiter(Clock(), most=1), []

        async def one(number: int, gate: Limiter = gate, through: list[int] = through) -> None:
            async with gate.slot():
                await asyncio.sleep(0)
                through.append(number)

        async def work(ticks: int = cancelled_after) -> None:
            tasks = [asyncio.create_task(one(number)) for number in range(3)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            tasks[1].cancel()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60.0)

        run(work)
        assert {0, 2} <= set(through)
