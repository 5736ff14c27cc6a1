"""Sending prompts to a language model: in batches, or one by one, retried as the policy says."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from asyndbt.errors import ExampleError, ModelError, RateLimitError, TransientError
from asyndbt.lm._base import Answer, LanguageModel, Prompt, Request, Usage
from asyndbt.lm._budget import Budget
from asyndbt.lm._cache import Attempts
from asyndbt.lm._retries import RetryPolicy, asks_too_long

T = TypeVar("T")
Answers = dict[bytes, Answer | None]
Prompts = Mapping[bytes, Prompt]
Bounds = Mapping[bytes, Usage]
Keep = Callable[[Answers], None]

RATE_LIMIT: Final = "rate limit"
"""Why a request was rejected for now, as attempts name it."""
_FAILED_IN_A_ROW: Final = 20
"""Consecutive requests without an answer after which the endpoint is considered down."""


class BatchDispatcher:
    """For a model that scores many prompts together; never suspends if the model does not."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def send(
        self, prompts: Prompts, labels: Sequence[str], bounds: Bounds, keep: Keep
    ) -> None:
        keys = list(prompts)
        for start in range(0, len(keys), self._model.batch):
            batch = keys[start : start + self._model.batch]
            answers = await self._model.score([prompts[key] for key in batch], labels)
            keep(dict(zip(batch, answers, strict=True)))

    async def send_one(self, key: bytes, request: Request[T]) -> tuple[T, Usage]:
        return await request.call()


class _GivenUp(Exception):  # noqa: N818 - the end of a request, perhaps not of the run
    """A request was retried as often as it may be."""

    def __init__(self, error: RateLimitError | TransientError, times: int) -> None:
        super().__init__(str(error))
        self.error, self.times = error, times


@dataclass(frozen=True, slots=True)
class _Delivery(Generic[T]):
    """A request being sent; `idling` marks when nothing of it is in flight."""

    key: bytes
    request: Request[T]
    idling: Callable[[], AbstractContextManager[None]] = nullcontext


class ConcurrentDispatcher:
    """For a model behind an endpoint: concurrent single requests through limiter and retries.

    Every request is recorded in `attempts` before it is sent.  What is lost is charged to `budget`;
    the requests themselves are held by the caller.
    """

    def __init__(
        self, model: LanguageModel, attempts: Attempts, budget: Budget, policy: RetryPolicy
    ) -> None:
        self._model, self._attempts, self._budget, self._policy = model, attempts, budget, policy
        self._random = random.Random()
        self._failed_in_a_row = 0

    async def send(
        self, prompts: Prompts, labels: Sequence[str], bounds: Bounds, keep: Keep
    ) -> None:
        """Send every prompt; pass its answer, None if it failed, to `keep` on arrival.

        `bounds` are the upper bounds of the requests by the same keys.  Raises ModelError if no
        request can succeed; requests in flight are completed first.
        """
        waiting = deque(prompts)
        idle: set[asyncio.Task[None]] = set()
        failures: list[BaseException] = []

        @contextmanager
        def idling() -> Iterator[None]:
            task = asyncio.current_task()
            assert task is not None
            idle.add(task)
            try:
                yield
            finally:
                idle.discard(task)

        async def work() -> None:
            while waiting:
                key = waiting.popleft()
                request = self._request(prompts[key], labels, bounds[key])
                try:
                    keep({key: await self._answer(_Delivery(key, request, idling))})
                except BaseException as error:
                    failures.append(error)
                    # Nothing more is sent; requests in flight may still bring their answers.
                    waiting.clear()
                    for other in idle:
                        other.cancel()
                    raise

        workers = min(len(waiting), self._policy.limiter.most)
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if failures:
            raise failures[0]

    async def send_one(self, key: bytes, request: Request[T]) -> tuple[T, Usage]:
        """Send a request that is not a prompt; return the reply and its cost.

        Raises ExampleError if it is rejected in this form, ModelError if there is no reply.
        """
        try:
            return await self._persist(_Delivery(key, request))
        except _GivenUp as end:
            times = f", {end.times} times in a row" if end.times > 1 else ""
            raise ModelError(
                f"{end.error}{times}", provider=end.error.provider, status=end.error.status
            ) from None

    def _request(
        self, prompt: Prompt, labels: Sequence[str], bound: Usage
    ) -> Request[Answer | None]:
        async def score() -> tuple[Answer | None, Usage]:
            (answer,) = await self._model.score([prompt], labels)
            return answer, Usage() if answer is None else answer.usage

        return Request(score, bound, self._model.expected_usage(prompt).tokens)

    async def _answer(self, delivery: _Delivery[Answer | None]) -> Answer | None:
        try:
            answer, _ = await self._persist(delivery)
        except (ExampleError, _GivenUp) as error:
            self._count_failure(error.error if isinstance(error, _GivenUp) else error)
            return None
        if answer is None:
            self._lose(delivery.key, "no answer", delivery.request.bound)
        self._failed_in_a_row = 0
        return answer

    async def _persist(self, delivery: _Delivery[T]) -> tuple[T, Usage]:
        """Send a request, and retry it as the policy says."""
        faults: Counter[type[ModelError]] = Counter()
        while True:
            try:
                return await self._attempt(delivery)
            except (RateLimitError, TransientError) as error:
                if asks_too_long(error):
                    raise _stopping(error) from None
                kind = RateLimitError if isinstance(error, RateLimitError) else TransientError
                faults[kind] += 1
                if faults[kind] > self._policy.max_retries or self._budget.overdrawn:
                    raise _GivenUp(error, faults.total()) from None
                delay = self._policy.delay(faults[kind], error.retry_after, self._random)
                with delivery.idling():
                    await self._policy.sleep(delay)

    async def _attempt(self, delivery: _Delivery[T]) -> tuple[T, Usage]:
        """Send a request once and record the outcome."""
        key, request, limiter = delivery.key, delivery.request, self._policy.limiter
        async with AsyncExitStack() as place:
            with delivery.idling():
                sent_at = await place.enter_async_context(limiter.slot(request.tokens))
            self._attempts.begin(key, request.bound)
            try:
                reply, cost = await request.call()
            except RateLimitError as error:
                self._lose(key, RATE_LIMIT, Usage())
                if not asks_too_long(error):
                    limiter.turned_away(sent_at, error.retry_after)
                raise
            except TransientError as error:
                self._lose(key, error.kind, request.bound if error.charged else Usage())
                raise
            except ModelError:
                self._lose(key, "rejected", Usage())
                raise
            except BaseException:
                self._lose(key, "interrupted", request.bound)
                raise
            limiter.answered()
            return reply, cost

    def _lose(self, key: bytes, why: str, cost: Usage) -> None:
        self._attempts.end(key, why, cost)
        self._budget.charge(cost)

    def _count_failure(self, error: ModelError) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _FAILED_IN_A_ROW:
            raise ModelError(
                f"{self._failed_in_a_row} requests in a row brought no answer; the last: {error}",
                provider=error.provider,
                status=error.status,
            )


def _stopping(error: RateLimitError | TransientError) -> ModelError:
    """Return the error that ends a run for a wait that is too long."""
    kind = RateLimitError if isinstance(error, RateLimitError) else ModelError
    told = f"{error}: asks to wait {error.retry_after:,.0f} seconds; resume the run then"
    return kind(told, provider=error.provider, status=error.status)
