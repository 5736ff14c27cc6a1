"""The only way to the language model, with one ledger of requests and payments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import uuid4

from asyndbt._text import listed, shorten
from asyndbt.errors import ModelError
from asyndbt.lm._answers import Predictions, is_unparsed, read_answers
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt, Request, Usage
from asyndbt.lm._budget import Budget
from asyndbt.lm._cache import AnswerCache, request_key
from asyndbt.lm._dispatch import Answers, BatchDispatcher, ConcurrentDispatcher
from asyndbt.lm._label_parsing import parse_label
from asyndbt.lm._retries import RetryPolicy

T = TypeVar("T")
_UNLABELLED_IN_A_ROW: Final = 40
"""Consecutive answers without a label after which a model is considered to give none."""
_REMEMBERED: Final = 1024
"""Texts of answers that are read once, however often they come."""


class Gateway:
    """Every request passes here: cache, budget, limiter, retry, model; one ledger counts.

    A gateway serves one site on one event loop.  With a model whose `score` never suspends, `ask`
    never suspends either, so that such a run is one deterministic sequence.

    A resumed run repeats what it did since its checkpoint.  What was paid for after the checkpoint
    is *replayable*: its answers come from the cache, but `estimate` and the budget count them as
    unpaid until they are asked for again, so that decisions about the budget repeat.  The first
    request that really has to be sent ends this: whatever is still replayable is charged before it,
    for the caps are hard.

    Parameters
    ----------
    model : LanguageModel
    cache : AnswerCache
        Its payer is this run at this site.
    budget : Budget
        This gateway's own; what it has spent is set here and in `restore`.
    policy : RetryPolicy, optional
        For a remote model; its limiter is shared by all gateways of one provider key.

    Examples
    --------
    >>> import asyncio
    >>> from asyndbt.lm import AnswerCache, Budget, Limits
    >>> from asyndbt.testing import ScriptedLanguageModel
    >>> model = ScriptedLanguageModel({"fun": (-0.1, -2.3)})
    >>> gateway = Gateway(model, AnswerCache(":memory:"), Budget(Limits(calls=10)))
    >>> prompt = Prompt((), "It was fun. Answer:")
    >>> answers = asyncio.run(gateway.ask([prompt, prompt], ["great", "terrible"]))
    >>> answers[0] == answers[1], len(model.asked), gateway.ledger().cached
    (True, 1, 1)
    """

    def __init__(
        self,
        model: LanguageModel,
        cache: AnswerCache,
        budget: Budget,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.model = model
        self.cache = cache
        self.budget = budget
        self._dispatcher = (
            ConcurrentDispatcher(model, cache.attempts, budget, policy or RetryPolicy())
            if model.is_remote
            else BatchDispatcher(model)
        )
        self._in_flight: dict[bytes, asyncio.Future[Answers]] = {}
        self._unlabelled = 0
        # An answer that is watched is read when it arrives, and not once more with the others.
        self._parse = lru_cache(maxsize=_REMEMBERED)(parse_label)
        self.names_labels = False
        """Whether an answer here named a label, or without labels was not blank."""
        self.restore(RequestCounts())

    @property
    def counts(self) -> RequestCounts:
        """Counts so far, for a checkpoint."""
        return self._counts

    def restore(self, counts: RequestCounts) -> None:
        """Continue from the counts of a checkpoint."""
        self._counts = counts
        self._replayable = self.cache.paid_after(counts.paid)
        spent = self.cache.total_of_first(counts.paid) + self.cache.attempts.lost()
        self.budget.restate(spent + self._failed(counts.failed))

    def ledger(self) -> Ledger:
        """Return what this run at this site has asked and paid, replayable answers included."""
        return self._ledger(self.cache.total())

    def ledger_so_far(self) -> Ledger:
        """Return the ledger without replayable answers: as it was when this was done first."""
        if not self._replayable:
            return self.ledger()
        return self._ledger(self.cache.total_of_first(self._counts.paid))

    def _ledger(self, paid: Usage) -> Ledger:
        attempts = self.cache.attempts
        refused = sum(self.cache.refused().values())
        return Ledger(self._counts, paid, attempts.lost(), len(attempts), refused)

    def estimate(self, prompts: Sequence[Prompt], labels: Sequence[str], sample: int = 0) -> Usage:
        """Upper bound of what `ask` would cost now: repeats and cached answers are free."""
        wanted = dict(zip(self._keys(prompts, labels, sample), prompts, strict=True))
        cached = self.cache.get_many(wanted)
        unpaid = (key for key in wanted if key not in cached or key in self._replayable)
        return sum((self.model.max_usage(wanted[key]) for key in unpaid), Usage())

    def refusals(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[str]:
        """Return the reasons for which the provider has refused some of these prompts."""
        found = self.cache.get_many(self._keys(prompts, labels, 0)).values()
        return list(dict.fromkeys(answer.refusal for answer in found if answer.refusal))

    async def ask(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        sample: int = 0,
        *,
        watched: bool = False,
    ) -> list[Answer | None]:
        """Answer every prompt, paying only for prompts that were never answered before.

        Equal prompts, in this call or in a concurrent one, become one request.  Every answer is
        stored as soon as it arrives.  The same prompts with another `sample` are asked again.
        Without an answer the result is None: a refusal is cached; a prompt that failed is sent
        again when it is asked for again.

        Raises
        ------
        BudgetExhausted
            If the requests might exceed the budget; nothing was sent then.
        ModelError
            If no request can succeed; with `watched` also after 40 new answers in a row that name
            no label, or are blank where there are no labels. A note has the last of them.
        """
        answers = await self._answers(prompts, labels, sample, watched)
        unparsed = sum(answer is not None and is_unparsed(answer, labels) for answer in answers)
        self._counts += RequestCounts(requests=len(answers), unparsed=unparsed)
        if not labels:
            self.names_labels = self.names_labels or unparsed < sum(map(bool, answers))
        return answers

    async def predict(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        feedback: Feedback,
        smoothing: float = 0.1,
        *,
        watched: bool = False,
    ) -> Predictions:
        """Answer every prompt as `ask` does, and read the answers as `read_answers` does.

        Raises as `ask`.
        """
        words = tuple(labels)
        answers = await self._answers(prompts, words, watched=watched)
        found = read_answers(answers, words, feedback, smoothing, self._parse)
        self.names_labels = self.names_labels or bool(found.parsed.any())
        self._counts += RequestCounts(requests=len(answers), unparsed=found.unparsed)
        return found

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> Mapping[str, Any]:
        """Run `LanguageModel.detect_capabilities` with requests that are charged and counted."""
        return await self.model.detect_capabilities(prompts, labels, self.send)

    async def send(self, request: Request[T]) -> T:
        """Send a request that answers no prompt; see `asyndbt.lm.Send`."""
        self._charge_replayable()
        # A key of its own: the cache never returns this reply as an answer to a prompt.
        key = uuid4().bytes
        with self.budget.hold(request.bound):
            reply, usage = await self._dispatcher.send_one(key, request)
            self._store({key: Answer(None, None, usage)})
        return reply

    async def _answers(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        sample: int = 0,
        watched: bool = False,
    ) -> list[Answer | None]:
        keys = self._keys(prompts, labels, sample)
        found = await self._resolve(dict(zip(keys, prompts, strict=True)), labels, watched)
        answers = [found[key] for key in keys]
        return [answer if answer and answer.refusal is None else None for answer in answers]

    async def _resolve(
        self, wanted: Mapping[bytes, Prompt], labels: Sequence[str], watched: bool
    ) -> Answers:
        """Answers from the cache, from requests in flight, and from the model."""
        found: Answers = {**self.cache.get_many(wanted)}
        self._charge({key: self._replayable.pop(key) for key in wanted if key in self._replayable})
        missing = {key: prompt for key, prompt in wanted.items() if key not in found}
        joined = {key: self._in_flight[key] for key in missing if key in self._in_flight}
        own = {key: prompt for key, prompt in missing.items() if key not in joined}
        if own:
            found |= await self._send(own, labels, watched)
        for pending in dict.fromkeys(joined.values()):
            # Shielded: a caller that is cancelled must not cancel the request of another.
            theirs = await asyncio.shield(pending)
            found |= {key: theirs[key] for key in joined if key in theirs}
        abandoned = {key: prompt for key, prompt in missing.items() if key not in found}
        return found | await self._resolve(abandoned, labels, watched) if abandoned else found

    async def _send(
        self, prompts: Mapping[bytes, Prompt], labels: Sequence[str], watched: bool
    ) -> Answers:
        self._charge_replayable()
        answers: Answers = {}
        # Bounds may change as a model learns from replies: release exactly what was held.
        bounds = {key: self.model.max_usage(prompt) for key, prompt in prompts.items()}
        held = sum(bounds.values(), Usage())
        with self.budget.hold(held) as narrow, self._announced(prompts) as pending:

            def keep(arrived: Answers) -> None:
                nonlocal held
                answers.update(self._store(arrived))
                for key in arrived:
                    held -= bounds[key]
                narrow(held)
                if watched:
                    self._watch(arrived.values(), labels)

            await self._dispatcher.send(prompts, labels, bounds, keep)
            pending.set_result(answers)
        return answers

    def _watch(self, answers: Iterable[Answer | None], labels: Sequence[str]) -> None:
        for answer in answers:
            if answer is None or answer.refusal is not None:
                continue
            self._unlabelled = (
                self._unlabelled + 1 if is_unparsed(answer, labels, self._parse) else 0
            )
            if self._unlabelled >= _UNLABELLED_IN_A_ROW:
                count, self._unlabelled = self._unlabelled, 0
                fault = (
                    f"name none of {listed(labels)}: tell the model how to answer, or choose other "
                    "words for the labels"
                    if labels
                    else "are blank: a model that thinks first needs more lm.max_tokens"
                )
                error = ModelError(
                    f"{count} answers in a row {fault}",
                    provider=self.model.name.partition("/")[0],
                )
                # In a note: what a model said is for the screen, and in no record.
                error.add_note(f"the last answer: {shorten(answer.text)}")
                raise error

    def _store(self, answers: Answers) -> Answers:
        paid = {key: answer for key, answer in answers.items() if answer is not None}
        failed = len(answers) - len(paid)
        self._counts += RequestCounts(failed=failed)
        self.budget.charge(self._failed(failed))
        self._charge({key: answer.usage for key, answer in paid.items()})
        self.cache.put_many(paid)
        return answers

    @contextmanager
    def _announced(self, keys: Mapping[bytes, Prompt]) -> Iterator[asyncio.Future[Answers]]:
        """Let concurrent calls join these requests."""
        pending: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self._in_flight |= dict.fromkeys(keys, pending)
        try:
            yield pending
        finally:
            for key in keys:
                del self._in_flight[key]
            if not pending.done():
                # Cancelled or failed: callers that joined find nothing and ask themselves.
                pending.set_result({})

    def _charge_replayable(self) -> None:
        self._charge(self._replayable)
        self._replayable = {}

    def _charge(self, paid: Mapping[bytes, Usage]) -> None:
        self._counts += RequestCounts(paid=len(paid))
        # In the order of the cache, so that money is the same float after a resume.
        for usage in paid.values():
            self.budget.charge(usage)

    def _failed(self, count: int) -> Usage:
        """Usage of failures that are not recorded as attempts: those of local models."""
        return Usage() if self.model.is_remote else Usage(calls=count)

    def _keys(self, prompts: Sequence[Prompt], labels: Sequence[str], sample: int) -> list[bytes]:
        name = self.model.name
        return [request_key(name, prompt, labels, sample) for prompt in prompts]


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Counts of a gateway, for a checkpoint.

    Requests are prompts asked for, repeats included; failed ones were given up without an answer,
    and unparsed are those whose answer favours no label.  `paid` counts answers paid for.
    """

    requests: int = 0
    failed: int = 0
    unparsed: int = 0
    paid: int = 0

    def __add__(self, other: RequestCounts) -> RequestCounts:
        return RequestCounts(
            self.requests + other.requests,
            self.failed + other.failed,
            self.unparsed + other.unparsed,
            self.paid + other.paid,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The only counter of requests and of their cost.

    `paid` is the sum over the cache rows of the run, one call each: every distinct request is
    charged and stored at once, so that a killed run forgets none.  `lost` is the most that the
    `attempts`, requests without an answer, may have cost; the refused prompts are stored answers,
    too.  `counts` goes into the checkpoint.  A resumed run asks again what it asked after its
    checkpoint, finds the answers in the cache, and ends with the same figures as an uninterrupted
    run.

    Examples
    --------
    >>> counts = RequestCounts(requests=10, failed=1)
    >>> ledger = Ledger(counts, Usage(calls=6, tokens_in=120, tokens_out=6))
    >>> ledger.cached
    3
    """

    counts: RequestCounts = field(default_factory=RequestCounts)
    paid: Usage = field(default_factory=Usage)
    lost: Usage = field(default_factory=Usage)
    attempts: int = 0
    refused: int = 0

    @property
    def spent(self) -> Usage:
        """What the budget was charged: answers and lost requests."""
        return self.paid + self.lost

    @property
    def sent(self) -> int:
        """Requests sent, whether or not they have reached the provider."""
        return self.paid.calls + self.attempts

    @property
    def requests(self) -> int:
        return self.counts.requests

    @property
    def failed(self) -> int:
        return self.counts.failed

    @property
    def unparsed(self) -> int:
        return self.counts.unparsed

    @property
    def cached(self) -> int:
        """Requests that needed no sending: ``requests - paid.calls - failed``.

        Never below 0: right after a resume the cache may be ahead of the checkpoint.
        """
        return max(0, self.requests - self.paid.calls - self.failed)

    def totals(self) -> dict[str, Any]:
        """Return the figures of a run's record by name."""
        spent = self.spent
        return {
            "calls": spent.calls,
            "requests": self.requests,
            "cached": self.cached,
            "sent": self.sent,
            "failed": self.failed,
            "refused": self.refused,
            "unparsed": self.unparsed,
            "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out,
            "money": spent.money,
        }
