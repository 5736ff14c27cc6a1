"""A tuned prompt with the model that it was tuned for: answers to new queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from asyndbt._async import run_sync
from asyndbt.config import LMConfig
from asyndbt.errors import DataError, ModelError, QueryError, RateLimitError
from asyndbt.lm import (
    RATE_LIMIT,
    AnswerCache,
    Budget,
    Gateway,
    LanguageModel,
    Limits,
    Predictions,
    Prompt,
    check_requests,
)
from asyndbt.prompt import TunedPrompt
from asyndbt.run._model_handle import ModelHandle

T = TypeVar("T")


@dataclass(frozen=True)
class Predictor:
    """Answers queries under a tuned prompt.

    Parameters
    ----------
    prompt : TunedPrompt
    lm : LMConfig
        The model, and how its answers are read.
    record : mapping
        What the run's record says of the model.
    model : LanguageModel, optional
        Replaces the one that `lm` names.
    """

    prompt: TunedPrompt
    lm: LMConfig
    record: Mapping[str, Any]
    model: LanguageModel | None = None

    def predict(self, queries: Sequence[Prompt], answers: Path | str = ":memory:") -> Predictions:
        """Answer every query as `ask` does; raises ModelError also if none of them is answered."""
        found, reasons = self.ask(queries, answers)
        if queries and not found.answered.any():
            raise self.unanswered(reasons)
        return found

    def ask(
        self, queries: Sequence[Prompt], answers: Path | str = ":memory:"
    ) -> tuple[Predictions, list[str]]:
        """Answer every query with a label; calibrated, if the prompt is.

        Parameters
        ----------
        queries : sequence of Prompt
            As `TunedPrompt.render` returns them.
        answers : path
            File of paid answers; several threads or processes may use it at once.

        Returns
        -------
        found : Predictions
        reasons : list of str
            Why some queries are not answered, as far as that was told, the commonest first.

        Raises
        ------
        QueryError
            Before any request, if a query does not fit the model.
        DataError
            If the file of paid answers cannot be used.
        ConfigError
            If another model would answer than the one that the prompt was tuned for.
        ModelError
            If no request can succeed.
        """
        words, lm, prior = self.prompt.task.label_words, self.lm, self.prompt.prior
        found, reasons = self._through(
            lambda gateway: gateway.predict(queries, words, lm.feedback, lm.smoothing),
            queries,
            answers,
        )
        return found if prior is None else prior.calibrate(found), reasons

    def say(
        self, queries: Sequence[Prompt], answers: Path | str = ":memory:"
    ) -> tuple[list[str | None], list[str]]:
        """Answer every query in words, None where the request failed; otherwise as `ask`."""
        found, reasons = self._through(lambda gateway: gateway.ask(queries, ()), queries, answers)
        return [None if answer is None else answer.text for answer in found], reasons

    def _through(
        self,
        ask: Callable[[Gateway], Awaitable[T]],
        queries: Sequence[Prompt],
        answers: Path | str,
    ) -> tuple[T, list[str]]:
        """Ask through a gateway of its own; return what was found, and why some was not."""
        words = self.prompt.task.label_words
        handle = ModelHandle.of_record(self.record, self.lm, self.model)
        try:
            check_requests(handle.model, words, queries)
        except DataError as error:
            # The labels were checked before tuning, so it is one of the queries.
            raise QueryError(*error.args) from None
        # A payer of its own: others may pay for the same answers at the same time.
        with AnswerCache(answers, uuid4().hex) as cache:
            gateway = Gateway(handle.model, cache, Budget(Limits()), handle.policy)
            found = run_sync(_asked(gateway, ask))
            return found, [*cache.attempts.reasons(), *gateway.refusals(queries, words)]

    def unanswered(self, reasons: Sequence[str]) -> ModelError:
        """Return the error that says that nothing was answered, and why: the main reason first."""
        why = ", ".join(reasons) or "no reason given"
        kind = RateLimitError if reasons[:1] == [RATE_LIMIT] else ModelError
        return kind(f"no row was answered: {why}", provider=self.lm.provider)


async def _asked(gateway: Gateway, ask: Callable[[Gateway], Awaitable[T]]) -> T:
    try:
        return await ask(gateway)
    finally:
        await gateway.model.close()
