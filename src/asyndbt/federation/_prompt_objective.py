"""A site's objective with a language model: from draws to prompts, answers and losses.

Everything here stays at the site: queries, demonstrations and answers are texts in this module and
below it, and nowhere above it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import zip_longest

import numpy as np

from asyndbt.federation._messages import Score, Spent
from asyndbt.federation._objective import TestScores
from asyndbt.federation._site_prompts import Needs, SitePrompts, times
from asyndbt.lm import Feedback, Gateway, Judgements, Loss, Predictions, Prompt, RequestCounts
from asyndbt.optim import FloatArray, IntArray, Shape
from asyndbt.prompt import render
from asyndbt.task import Example, Task


class PromptObjective:
    """One site's data behind its gateway to the language model.

    Parameters
    ----------
    prompts : SitePrompts
    gateway : Gateway
    needs : Needs
        Bounds of looks and evaluation, which are kept back in the budget.
    feedback : {"logprobs", "votes", "text"}
    loss : {"cross_entropy", "error"}
        What tuning minimises; validation and test always use cross-entropy.
    smoothing : float
        e of feedback ``text`` and ``votes``, and of loss ``error``.
    random_draws : int
        Draws of random demonstrations that the reference averages over.
    """

    def __init__(
        self,
        prompts: SitePrompts,
        gateway: Gateway,
        needs: Needs,
        *,
        feedback: Feedback = "logprobs",
        loss: Loss = "cross_entropy",
        smoothing: float = 0.1,
        random_draws: int = 5,
    ) -> None:
        self.prompts, self.gateway = prompts, gateway
        self.feedback, self.smoothing = feedback, smoothing
        self._needs, self._loss = needs, loss
        self._random_draws = random_draws
        data = prompts.data
        self._compared = (*_in_turn(data.validation), *_in_turn(data.train))
        self._looks_left = needs.looks
        self._tested = 0
        self._reserve()

    @property
    def shape(self) -> Shape:
        """Sizes of the site's problem."""
        return self.prompts.shape

    @property
    def counts(self) -> tuple[int, int, int]:
        """Training, validation and test examples."""
        data = self.prompts.data
        return len(data.train), len(data.validation), len(data.test)

    def affords_step(self, prompts: int) -> bool:
        """Whether the tuning budget covers this many more prompts at their highest cost."""
        return self.gateway.budget.affords(times(self._needs.prompt, prompts))

    def spent(self) -> Spent:
        """Return the counts of the ledger."""
        return Spent(**self.gateway.ledger().totals())

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Return losses (I, B) of draws (I, M), (I, U) on queries (B,), asked in one batch."""
        examples = [self.prompts.data.train[index] for index in queries]
        batch = [
            prompt
            for w, d in zip(words, demonstrations, strict=True)
            for prompt in self.prompts.prompts(w, d, examples)
        ]
        judged = self._judge(await self._predict(batch), examples * len(words), self._loss)
        return judged.loss.reshape(len(words), len(queries))

    def without_demonstrations(self) -> PromptObjective:
        """Return an objective without demonstration slots that shares budget and ledger."""
        return PromptObjective(
            replace(self.prompts, slots=()),
            self.gateway,
            self._needs,
            feedback=self.feedback,
            loss=self._loss,
            smoothing=self.smoothing,
            random_draws=self._random_draws,
        )

    @property
    def looks_left(self) -> int:
        """Prompts about validation or training queries for which budget is kept back."""
        return self._looks_left

    @property
    def validations_left(self) -> int:
        """Validations for which budget is kept back."""
        return self._looks_left // self._needs.validation_rows

    @property
    def validation_queries(self) -> Sequence[Example]:
        """The queries of a validation: as many as the budget allows, of all classes."""
        return self._compared[: self._needs.validation_rows]

    @property
    def test_queries(self) -> Sequence[Example]:
        """The queries of the final evaluation: as many as the budget covers."""
        return self.prompts.data.test[: self._needs.test_rows]

    @property
    def comparable(self) -> int:
        """Queries on which prompts can be compared."""
        return len(self._compared)

    async def validate(self, words: IntArray, demonstrations: IntArray) -> Score:
        """Score one prompt, (M,) and (U,), on validation queries, from the budget kept back."""
        queries = self.validation_queries
        return await self.validate_prompts(self.prompts.prompts(words, demonstrations, queries))

    async def validate_prompts(self, batch: Sequence[Prompt]) -> Score:
        """Score prompts, one for each of `validation_queries`, as `validate` does."""
        count = self._look(batch)
        if not count:
            return Score()
        predictions = await self._predict(batch[:count])
        return self.score_of(predictions, self.validation_queries[:count])

    async def compare(
        self, prompts: Sequence[tuple[IntArray, IntArray]], start: int, stop: int
    ) -> FloatArray:
        """Return losses (C, stop - start) of prompts, (M,) and (U,) each, on the same queries.

        The queries are those of validation, then those of training, the classes in turn.
        """
        losses = [await self._look_at(*prompt, start, stop) for prompt in prompts]
        return np.array(losses).reshape(len(prompts), -1)

    async def _look_at(
        self, words: IntArray, demonstrations: IntArray, start: int, stop: int
    ) -> FloatArray:
        """Return (stop - start,) losses of a prompt on queries for comparison."""
        queries = self._compared[start:stop]
        losses = np.full(len(queries), np.nan)
        batch = self.prompts.prompts(words, demonstrations, queries)
        if count := self._look(batch):
            answers = await self._predict(batch[:count])
            losses[:count] = self._judge(answers, queries[:count], self._loss).loss
        return losses

    def _look(self, batch: Sequence[Prompt]) -> int:
        """Free budget kept back for these prompts; return how many, from the first, are covered."""
        # Answers that are known count too: what is compared must not depend on a cache.
        self._looks_left -= min(len(batch), self._looks_left)
        self._reserve()
        return self._affordable([(prompt,) for prompt in batch])

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        """Score the test split with the plain prompt, random demonstrations and the tuned prompt.

        If paid requests were lost and the reserve is not enough, fewer examples are scored, the
        same ones with every prompt.
        """
        tuned = self.prompts.prompts(words, demonstrations, self.test_queries)
        return await self.test_prompts(tuned, rng)

    async def test_prompts(
        self, tuned: Sequence[Prompt] | None, rng: np.random.Generator
    ) -> TestScores:
        """Score prompts for the test split, one per example, and the references, as `test` does.

        With None, only the plain prompt and the random demonstrations are scored.
        """
        self.gateway.budget.release("validation")
        self.gateway.budget.release("test")
        task, shape = self.prompts.task, self.shape
        examples = self.test_queries
        shown: list[tuple[Example, ...]] = [()]
        for _ in range(self._random_draws if shape.slots else 0):
            shown.append(self.prompts.chosen(rng.integers(shape.candidates, size=shape.slots)))
        batches = [[render(task, each, (), e.fields) for e in examples] for each in shown]
        # Random demonstrations come last: if requests are lost here too, they matter least.
        batches = [*([] if tuned is None else [list(tuned)[: len(examples)]]), *batches]
        count = self._affordable(list(zip(*batches, strict=True)))
        scores = [await self._score(batch[:count], examples) for batch in batches]
        self._tested = count
        found = Score() if tuned is None else scores.pop(0)
        return TestScores(plain=scores[0], random_icl=_average(scores[1:]), tuned=found)

    def state(self) -> dict[str, int]:
        """Return the counts for the worker's checkpoint."""
        own = {"looks_left": self._looks_left, "tested": self._tested}
        return {**own, **asdict(self.gateway.counts)}

    def restore(self, state: Mapping[str, int]) -> None:
        """Restore what `state` returned."""
        counts = dict(state)
        self._looks_left, self._tested = counts.pop("looks_left"), counts.pop("tested")
        self._reserve()
        self.gateway.restore(RequestCounts(**counts))

    def reopen(self) -> None:
        """Return to tuning after an evaluation, with the reserve for another one.

        What the references were asked is paid for already, and found in the cache.
        """
        self._looks_left = self._needs.looks
        self._reserve()

    def _reserve(self) -> None:
        budget = self.gateway.budget
        budget.reserve("validation", times(self._needs.prompt, self._looks_left))
        budget.reserve("test", self._needs.evaluating_again(self._tested))

    def _affordable(self, groups: Sequence[Sequence[Prompt]]) -> int:
        """Number of groups of prompts, from the first on, that the budget covers."""

        def covered(count: int) -> bool:
            prompts = [prompt for group in groups[:count] for prompt in group]
            cost = self.gateway.estimate(prompts, self.prompts.task.label_words)
            return self.gateway.budget.affords(cost)

        if covered(len(groups)):
            return len(groups)
        return bisect(range(1, len(groups)), False, key=lambda count: not covered(count))

    async def _predict(self, batch: Sequence[Prompt]) -> Predictions:
        words = self.prompts.task.label_words
        return await self.gateway.predict(batch, words, self.feedback, self.smoothing)

    def _judge(
        self, predictions: Predictions, examples: Sequence[Example], loss: Loss
    ) -> Judgements:
        return _judged(predictions, self.prompts.task, examples, loss)

    async def _score(self, batch: Sequence[Prompt], examples: Sequence[Example]) -> Score:
        """Score as many prompts, from the first on, as the budget covers."""
        count = self._affordable([(prompt,) for prompt in batch])
        if not count:
            return Score()
        return self.score_of(await self._predict(batch[:count]), examples[:count])

    def score_of(self, predictions: Predictions, examples: Sequence[Example]) -> Score:
        """Score what was predicted for these examples, as far as there are answers."""
        return score_answers(predictions, self.prompts.task, examples)


def score_answers(predictions: Predictions, task: Task, examples: Sequence[Example]) -> Score:
    """Score what was predicted for these examples, as far as there are answers."""
    judged = _judged(predictions, task, examples, "cross_entropy")
    answered = predictions.answered
    if not answered.any():
        return Score()
    losses = judged.loss[answered]
    return Score(float(judged.correct[answered].sum()), int(answered.sum()), float(losses.mean()))


def _judged(
    predictions: Predictions, task: Task, examples: Sequence[Example], loss: Loss
) -> Judgements:
    return predictions.judge([task.class_of(example.label) for example in examples], loss)


def _in_turn(examples: Iterable[Example]) -> list[Example]:
    """Return the examples in their order, one of each class after the other."""
    by_label: dict[str, list[Example]] = {}
    for example in examples:
        by_label.setdefault(example.label, []).append(example)
    rounds = zip_longest(*by_label.values())
    return [example for each in rounds for example in each if example is not None]


def _average(scores: Sequence[Score]) -> Score:
    """Mean over draws, with the standard deviation of their accuracies as `spread`."""
    shares = [score.correct / score.n for score in scores if score.n]
    if not shares:
        return Score()
    n = max(score.n for score in scores)
    loss = float(np.mean([score.loss for score in scores if score.n]))
    spread = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    return Score(float(np.mean(shares)) * n, n, loss, spread)
