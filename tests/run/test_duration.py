"""The time of a request is that of a warm batch, as tuning sends it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from tests.clocks import VirtualLoop

from asyndbt.config import Config
from asyndbt.lm import (
    Answer,
    AnswerCache,
    LanguageModel,
    Prompt,
    RemoteOptions,
    Request,
    RetryPolicy,
    Send,
    Usage,
)
from asyndbt.pocket._server import PocketServer
from asyndbt.run import Estimate, estimate_run, run_config
from asyndbt.run._duration import time_endpoint, time_local, total_seconds, under_way
from asyndbt.run._model_handle import ModelHandle

LABELS = ("great", "terrible")
PROMPTS = [Prompt((), f"It was number {number}. Answer:") for number in range(40)]


class Slow(LanguageModel):
    """The first request takes 100 seconds, and then every prompt 2."""

    provider = "slow"
    batch = 8

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Prompt] = []

    @property
    def name(self) -> str:
        return "slow"

    def max_usage(self, prompt: Prompt) -> Usage:
        return Usage(1, 1, 1)

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        seconds = 2.0 * len(prompts) if self.asked else 100.0
        self.asked += prompts
        await self.work(seconds)
        return [Answer((-0.1, -2.0), None, self.max_usage(prompt)) for prompt in prompts]

    async def work(self, seconds: float) -> None:
        VirtualLoop.running().advance(seconds)


class SlowEndpoint(Slow):
    """Answers `served` requests at once; the others wait."""

    Options = RemoteOptions
    is_remote = True
    batch = 1

    def __init__(self, served: int, **options: Any) -> None:
        super().__init__()
        self.options = RemoteOptions(**options)
        self.served = served
        self.busy: list[float] = []

    async def work(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, heapq.heappop(self.busy)) if len(self.busy) == self.served else now
        heapq.heappush(self.busy, start + seconds)
        await asyncio.sleep(start + seconds - now)

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        async def call() -> tuple[None, Usage]:
            await self.score(prompts, labels)
            return None, Usage(1, 1, 1)

        await send(Request(call, Usage(1, 1, 1), 2))
        return {}

    async def close(self) -> None:
        self.busy = []


def probed(served: int = 1, **options: Any) -> ModelHandle:
    model = SlowEndpoint(served, **options)
    handle = ModelHandle(model, RetryPolicy.of(model.options))
    handle.detect_capabilities([Prompt((), "Well? Answer:")], LABELS, new_loop=VirtualLoop)
    return handle


def timed(handle: ModelHandle, count: int = 32, **more: Any) -> float | None:
    with AnswerCache(":memory:") as own:
        given = {"cache": own, "new_loop": VirtualLoop, **more}
        return time_endpoint(handle, PROMPTS[:count], LABELS, **given)


def asked(handle: ModelHandle) -> int:
    """Requests after the probe."""
    assert isinstance(handle.model, Slow)
    return len(handle.model.asked) - 1


@pytest.mark.parametrize("count", [1, 20])
def test_the_first_request_of_a_model_on_this_machine_is_not_timed(count: int) -> None:
    model = Slow()
    assert time_local(model, PROMPTS[:count], LABELS, VirtualLoop) == pytest.approx(2.0)
    assert len(model.asked) == count + 1


@pytest.mark.parametrize(("served", "seconds"), [(1, 2.0), (8, 2.0 / 8), (100, 2.0 / 32)])
def test_an_endpoint_is_timed_with_as_many_requests_as_tuning_sends(
    served: int, seconds: float
) -> None:
    """After a probe, whose first request took 100 seconds."""
    handle = probed(served)
    assert timed(handle) == pytest.approx(seconds)
    assert asked(handle) == 32


@pytest.mark.parametrize("cap", [{"requests_per_minute": 9}, {"tokens_per_minute": 18}])
def test_no_more_is_sent_than_the_caps_of_a_minute_leave(cap: dict[str, int]) -> None:
    handle = probed(**cap)
    assert timed(handle) == pytest.approx(2.0)
    assert asked(handle) == 8


def test_what_is_known_is_not_asked_again() -> None:
    handle = probed()
    with AnswerCache(":memory:") as cache:
        timed(handle, 12, cache=cache)
        assert timed(handle, 16, cache=cache) == pytest.approx(2.0)
        assert timed(handle, 16, cache=cache) is None
    assert asked(handle) == 16


@pytest.mark.parametrize(
    ("each", "pace", "rounds", "seconds"),
    [
        (2.0, 2.0, 30, 2.0 * 100),
        (2.0, 2.0 / 32, 30, 2.0 * 10),
        (2.0, 2.0 / 32, 3, 2.0 / 32 * 100),
    ],
)
def test_a_run_takes_the_pace_of_the_endpoint_or_the_rounds_of_a_site(
    each: float, pace: float, rounds: int, seconds: float
) -> None:
    found = total_seconds(RemoteOptions(), Usage(calls=100), rounds, 3, each, pace)
    assert found == pytest.approx(seconds)


def test_as_many_are_under_way_as_all_sites_send_and_the_limiter_allows(small: Any) -> None:
    settings = small.config().method.settings()
    assert under_way(settings, probed(), 3) == 3 * small.step
    assert under_way(settings, probed(max_concurrency=5), 3) == 5
    assert under_way(settings, ModelHandle(Slow(), RetryPolicy()), 3) == small.step


def test_answers_that_were_timed_are_not_paid_for_again_by_the_run(small: Any) -> None:
    with PocketServer() as server:
        lm = {"provider": "openai", "model": "pocket", "base_url": server.url, "system": ""}

        def told(name: str, *works: Any) -> list[int]:
            """Requests of works that share a file of answers."""
            shared = {**lm, "cache": str(small.folder / f"{name}.sqlite")}
            # A run that ends with its budget would spend what it saves.
            tables = {"method": {"iterations": 2}, "federation": {"staleness": 1}}
            config = small.config(name, lm=shared, **tables)
            counts = [server.requests]
            for work in works:
                work(config)
                counts.append(server.requests)
            return [after - before for before, after in pairwise(counts)]

        def estimated(config: Config) -> Estimate:
            return estimate_run(config, probe=True)

        timed, probe, rest = told("first", estimated, estimated, run_config)
        (whole,) = told("second", run_config)
    assert timed - probe == 3 * small.step
    # Where a step draws a prompt twice, one of a later step is timed, which may never be asked.
    assert 2 * small.step < whole - rest <= 3 * small.step
