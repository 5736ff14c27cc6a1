"""How long the requests of a run take.

A server that answers a lone request quickly may take as many times longer for as many at once, or
not: what counts besides is its pace in a batch as tuning sends it. Nothing cold is timed: the first
request of all may have to wait until a model is loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from asyndbt._async import NewLoop, run_sync
from asyndbt.lm import (
    AnswerCache,
    Budget,
    Gateway,
    LanguageModel,
    Limiter,
    Limits,
    Prompt,
    RemoteOptions,
    Section,
    Usage,
)
from asyndbt.optim import Settings
from asyndbt.run._model_handle import ModelHandle

BATCH: Final = 64
"""Most prompts of a batch that is timed."""


def under_way(settings: Settings, handle: ModelHandle, sites: int) -> int:
    """Return how many requests are under way at once while all sites tune.

    Of a model on this machine, whose sites take turns, these are the prompts of a step.
    """
    step = settings.draws * settings.batch_size
    return min(handle.policy.limiter.most, step * sites) if handle.model.is_remote else step


def time_local(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    new_loop: NewLoop | None = None,
) -> float:
    """Return the seconds per prompt of a model on this machine, in one batch.

    Parameters
    ----------
    prompts : sequence of Prompt
        The batch; its first prompt is also asked before, to warm up.
    new_loop : callable, optional
        Makes the event loop, whose clock is read.
    """

    async def timed() -> float:
        await model.score(prompts[:1], labels)
        start = _now()
        for begin in range(0, len(prompts), model.batch):
            await model.score(prompts[begin : begin + model.batch], labels)
        return (_now() - start) / len(prompts)

    return run_sync(timed(), new_loop)


def time_endpoint(
    handle: ModelHandle,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    cache: AnswerCache,
    new_loop: NewLoop | None = None,
) -> float | None:
    """Return the seconds from one answer to the next while many requests are under way.

    Every prompt whose answer is not in the cache is a request, all of them at once.

    Parameters
    ----------
    handle : ModelHandle
        After its probe, which has warmed the endpoint up.
    prompts : sequence of Prompt
        As many as are under way at once while a run tunes; no more are used than the caps per
        minute leave.
    cache : AnswerCache
        Receives the answers, and so spares a run these requests.
    new_loop : callable, optional
        Makes the event loop, whose clock is read.

    Returns
    -------
    float or None
        None if all answers were known.

    Raises
    ------
    ModelError
        If no request can succeed.
    """
    prompts = prompts[: _room(handle, prompts)]
    # From the start as many at once as there are: a run reaches that after as many answers.
    at_once = Limiter(len(prompts), first=len(prompts))
    gateway = Gateway(
        handle.model, cache, Budget(Limits()), replace(handle.policy, limiter=at_once)
    )
    before = gateway.ledger().sent

    async def timed() -> float:
        start = _now()
        try:
            await gateway.ask(prompts, labels)
            return _now() - start
        finally:
            await handle.model.close()

    seconds, sent = run_sync(timed(), new_loop), gateway.ledger().sent - before
    return seconds / sent if sent else None


def _now() -> float:
    return asyncio.get_running_loop().time()


def _room(handle: ModelHandle, prompts: Sequence[Prompt]) -> int:
    """Return how many requests the caps per minute leave after the probe; 1 at least."""
    options, ledger, rooms = handle.model.options, handle.ledger, [len(prompts)]
    if isinstance(options, RemoteOptions) and options.requests_per_minute:
        rooms.append(options.requests_per_minute - ledger.sent)
    if isinstance(options, RemoteOptions) and options.tokens_per_minute:
        each = max(handle.model.expected_usage(prompt).tokens for prompt in prompts)
        rooms.append((options.tokens_per_minute - ledger.spent.tokens) // each)
    return max(1, min(rooms))


def total_seconds(
    options: Section, spent: Usage, rounds: int, sites: int, each: float, pace: float
) -> float:
    """Return the time of the requests of a run.

    Parameters
    ----------
    options : Section
        Of the model.
    spent : Usage
        Of all sites.
    rounds : int
        Groups of requests that are under way together, of all sites.
    each : float
        Seconds of a request.
    pace : float
        Seconds from one answer to the next while many requests are under way.
    """
    if not isinstance(options, RemoteOptions):
        return spent.calls * each
    # Sites work in parallel, the rounds of a site one after another.
    times = [pace * spent.calls, each * rounds / sites]
    if options.requests_per_minute:
        times.append(60 * spent.calls / options.requests_per_minute)
    if options.tokens_per_minute:
        times.append(60 * spent.tokens / options.tokens_per_minute)
    return max(times)
