"""A site's objective with a language model: from draws to prompts, answers and losses.

Everything here stays at the site: queries, demonstrations and answers are texts in this module and
below it, and nowhere above it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal, cast

import numpy as np

from asyndbt.lm import (
    Calibration,
    Feedback,
    Gateway,
    Judgements,
    LabelPrior,
    Loss,
    Predictions,
    Prompt,
    ReadAnswers,
    RequestCounts,
    find_loss,
)
from asyndbt.optim import FloatArray, IntArray, Shape
from asyndbt.prompt import Demonstration, render_all
from asyndbt.scoring._calibration import (
    calibration_queries,
    compared_queries,
    content_free_queries,
)
from asyndbt.scoring._judge import Judge
from asyndbt.scoring._objective import Score, Spent, TestScores
from asyndbt.scoring._reader import AnswerReader
from asyndbt.scoring._site_prompts import Needs, SitePrompts, times
from asyndbt.task import Example, Task

Ask = Callable[[Sequence[Example]], list[Prompt]]
"""A way to ask: one prompt for every query."""
_PSEUDO_QUERIES = 16
"""Answers that the prior of all prompts counts as beside those of one: by the mean of a minibatch
alone, answers lose half of what they say of the queries."""


class PromptObjective:
    """One site's data behind its gateway to the language model.

    Parameters
    ----------
    prompts : SitePrompts
    gateway : Gateway
    needs : Needs
        Bounds of looks and evaluation, which are kept back in the budget.
    feedback : {"logprobs", "votes", "text"}
    loss : {"auto", "cross_entropy", "error", "expected_error"}
        What tuning minimises (`find_loss`); validation and test always use cross-entropy, or with
        costs the cost of the label answered. With a reward, the loss is always 1 minus it.
    smoothing : float
        e of feedback ``text`` and ``votes``, and of the losses ``error`` and ``expected_error``.
    calibration : {"none", "contextual", "batch"}
        How label bias is taken out of answers before they are judged. With ``batch``, the prior of
        a prompt in tuning, comparison or validation is that of its answers, shrunk towards all
        answers of the site; in the evaluation, that of answers to `calibration_queries`.
    random_draws : int
        Draws of random demonstrations that the reference averages over.
    judge : Judge, optional
        Says what answers are worth, where the reward is that of a judge.
    """

    def __init__(
        self,
        prompts: SitePrompts,
        gateway: Gateway,
        needs: Needs,
        *,
        feedback: Feedback = "logprobs",
        loss: Loss | Literal["auto"] = "auto",
        smoothing: float = 0.1,
        calibration: Calibration = "none",
        random_draws: int = 5,
        judge: Judge | None = None,
    ) -> None:
        self.prompts, self.gateway = prompts, gateway
        self.feedback, self.smoothing, self.calibration = feedback, smoothing, calibration
        self._needs = needs
        self._loss: Loss = find_loss(loss, calibration)
        self._random_draws = random_draws
        task, data = prompts.task, prompts.data
        self.judge = judge
        self._reader = AnswerReader(gateway, task, feedback, smoothing, judge)
        self._compared = compared_queries(data)
        self._content_free = content_free_queries(task) if calibration == "contextual" else ()
        self._calibrating = calibration_queries(calibration, task, data)
        self._overall = LabelPrior.uniform(len(task.classes))
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

    @property
    def content_free(self) -> int:
        """Queries that calibrate a prompt wherever it is asked, besides those of the task."""
        return len(self._content_free)

    def affords_step(self, prompts: int, queries: int) -> bool:
        """Whether the tuning budget covers so many prompts on so many queries each, at most."""
        asked = prompts * (queries + self.content_free)
        return self.gateway.budget.affords(times(self._needs.prompt, asked)) and (
            self.judge is None or self.judge.affords(asked)
        )

    def spent(self) -> Spent:
        """Return the counts of the ledger, for a resumed run those of the work it has repeated."""
        return Spent(**self.gateway.ledger_so_far().totals())

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Return losses (I, B) of draws (I, M), (I, U) on queries (B,), asked in one batch."""
        examples = [self.prompts.data.train[index] for index in queries]
        drawn = [self._asking(w, d) for w, d in zip(words, demonstrations, strict=True)]
        asked = [*self._content_free, *examples]
        batch = [prompt for ask in drawn for prompt in ask(asked)]
        found = await self._read(batch, asked * len(drawn))
        starts = range(0, len(drawn) * len(asked), len(asked))
        groups = self._calibrated([found[start : start + len(asked)] for start in starts])
        losses = [self._judge(group, examples, self._loss).loss for group in groups]
        return np.array(losses).reshape(len(words), len(queries))

    def without_demonstrations(self) -> PromptObjective:
        """Return an objective without demonstration slots that shares budget and ledger."""
        return PromptObjective(
            replace(self.prompts, slots=()),
            self.gateway,
            self._needs,
            feedback=self.feedback,
            loss=self._loss,
            smoothing=self.smoothing,
            calibration=self.calibration,
            random_draws=self._random_draws,
            judge=self.judge,
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
        return await self.validate_prompts(self._asking(words, demonstrations))

    async def validate_prompts(self, ask: Ask) -> Score:
        """Score a way to ask on `validation_queries`, as `validate` does."""
        found = await self._looked(ask, self.validation_queries)
        return self.score_of(found, self.validation_queries[: len(found)])

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
        found = await self._looked(self._asking(words, demonstrations), queries)
        losses[: len(found)] = self._judge(found, queries[: len(found)], self._loss).loss
        return losses

    async def _looked(self, ask: Ask, queries: Sequence[Example]) -> ReadAnswers:
        """Return calibrated answers to as many queries, from the first on, as are covered."""
        asked = [*self._content_free, *queries]
        batch = ask(asked)
        # Answers that are known count too: what is compared must not depend on a cache.
        self._looks_left -= min(len(batch), self._looks_left)
        self._reserve()
        count = self._affordable([(prompt,) for prompt in batch])
        (found,) = self._calibrated([await self._read(batch[:count], asked[:count])])
        return found

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        """Score the test split with the plain prompt, random demonstrations and the tuned prompt.

        If paid requests were lost and the reserve is not enough, fewer examples are scored, the
        same ones with every prompt.
        """
        return await self.test_prompts(self._asking(words, demonstrations), rng)

    async def test_prompts(self, tuned: Ask | None, rng: np.random.Generator) -> TestScores:
        """Score a way to ask on the test split, and the references, as `test` does.

        With None, only the plain prompt and the random demonstrations are scored.
        """
        for kept in ("validation", "test"):
            self.gateway.budget.release(kept)
            if self.judge is not None:
                self.judge.gateway.budget.release(kept)
        prompts, examples = self.prompts, self.test_queries
        shown: list[tuple[Demonstration, ...]] = [()]
        for _ in range(self._random_draws if prompts.slots else 0):
            shown.append(prompts.chosen(prompts.random_examples(rng)))
        references: list[Ask] = [partial(_plainly, prompts.task, each) for each in shown]
        # Random demonstrations come last: if requests are lost here too, they matter least.
        asked = references if tuned is None else [tuned, *references]
        priors = await self._priors(asked)
        batches = [ask(examples) for ask in asked]
        count = self._affordable(list(zip(*batches, strict=True)))
        scores = [
            await self._score(batch[:count], examples, prior)
            for batch, prior in zip(batches, priors, strict=True)
        ]
        self._tested = count
        found = Score() if tuned is None else scores.pop(0)
        prior = None if tuned is None else priors[0]
        return TestScores(scores[0], _average(scores[1:]), found, prior)

    def state(self) -> dict[str, Any]:
        """Return the counts, and the prior of all prompts if it is used, for a checkpoint."""
        own = {"looks_left": self._looks_left, "tested": self._tested}
        prior = {"prior": asdict(self._overall)} if self.calibration == "batch" else {}
        judge = {} if self.judge is None else {"judge": asdict(self.judge.gateway.counts)}
        return {**own, **prior, **judge, **asdict(self.gateway.counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        counts = dict(state)
        self._looks_left, self._tested = counts.pop("looks_left"), counts.pop("tested")
        if "prior" in counts:
            self._overall = LabelPrior.from_dict(counts.pop("prior"))
        if self.judge is not None:
            self.judge.restore(counts.pop("judge"))
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
        evaluation = self._needs.evaluating_again(self._tested)
        budget.reserve("test", evaluation)
        if self.judge is not None:
            self.judge.keep("validation", self._looks_left)
            self.judge.keep("test", evaluation.calls)

    def _affordable(self, groups: Sequence[Sequence[Prompt]]) -> int:
        """Number of groups of prompts, from the first on, that the budget covers."""

        def covered(count: int) -> bool:
            prompts = [prompt for group in groups[:count] for prompt in group]
            cost = self.gateway.estimate(prompts, self.prompts.task.label_words)
            judged = self.judge is None or self.judge.affords(len(prompts))
            return judged and self.gateway.budget.affords(cost)

        if covered(len(groups)):
            return len(groups)
        return bisect(range(1, len(groups)), False, key=lambda count: not covered(count))

    async def _read(
        self, batch: Sequence[Prompt], examples: Sequence[Example], watched: bool = True
    ) -> ReadAnswers:
        return await self._reader.read(batch, examples, watched)

    def _asking(self, words: IntArray, demonstrations: IntArray) -> Ask:
        return partial(self.prompts.prompts, words, demonstrations)

    def _calibrated(self, groups: Sequence[ReadAnswers]) -> Sequence[ReadAnswers]:
        """Calibrate answers, those of one prompt together, and leave out content-free ones."""
        if self.calibration == "none":
            return groups
        free, labels = self.content_free, cast(Sequence[Predictions], groups)
        priors = [LabelPrior.of(group[:free] if free else group) for group in labels]
        if not free:
            for prior in priors:
                self._overall = self._overall.pooled(prior)
            priors = [prior.shrunk(self._overall, _PSEUDO_QUERIES) for prior in priors]
        return [prior.calibrate(group[free:]) for prior, group in zip(priors, labels, strict=True)]

    async def prior(self, ask: Ask) -> LabelPrior | None:
        """Ask for the prior under which test examples are judged; None without calibration."""
        (found,) = await self._priors([ask])
        return found

    async def _priors(self, asked: Sequence[Ask]) -> Sequence[LabelPrior | None]:
        """Ask for the priors of several ways to ask, as far as the budget goes for all."""
        if self.calibration == "none":
            return [None] * len(asked)
        batches = [ask(self._calibrating) for ask in asked]
        count = self._affordable(list(zip(*batches, strict=True)))
        return [
            LabelPrior.of(await self._reader.predict(batch[:count], watched=True))
            for batch in batches
        ]

    def _judge(self, found: ReadAnswers, examples: Sequence[Example], loss: Loss) -> Judgements:
        return _judged(found, self.prompts.task, examples, loss)

    async def _score(
        self, batch: Sequence[Prompt], examples: Sequence[Example], prior: LabelPrior | None
    ) -> Score:
        """Score as many prompts, from the first on, as the budget covers."""
        count = self._affordable([(prompt,) for prompt in batch])
        # A model may need demonstrations to name a label, and what was tuned is not given up then.
        watched = not self.gateway.names_labels and bool(batch and batch[0].shots)
        found = await self._read(batch[:count], examples[:count], watched)
        if prior is not None:
            found = prior.calibrate(cast(Predictions, found))
        return self.score_of(found, examples[:count])

    def score_of(self, found: ReadAnswers, examples: Sequence[Example]) -> Score:
        """Score the answers to these examples, as far as there are any."""
        return score_answers(found, self.prompts.task, examples)


def score_answers(found: ReadAnswers, task: Task, examples: Sequence[Example]) -> Score:
    """Score the answers to these examples, as far as there are any."""
    judged = _judged(found, task, examples, "error" if task.costs else "cross_entropy")
    answered = found.answered
    if not answered.any():
        return Score()
    losses = judged.loss[answered]
    return Score(float(judged.correct[answered].sum()), int(answered.sum()), float(losses.mean()))


def _judged(found: ReadAnswers, task: Task, examples: Sequence[Example], loss: Loss) -> Judgements:
    gold = [task.class_of(example.label) for example in examples]
    return found.judge(gold, loss, task.costs)


def _plainly(
    task: Task, shown: Sequence[Demonstration], queries: Sequence[Example]
) -> list[Prompt]:
    """Return prompts without a fragment."""
    return render_all(task, shown, (), (query.fields for query in queries))


def _average(scores: Sequence[Score]) -> Score:
    """Mean over draws, with the standard deviation of their accuracies as `spread`."""
    shares = [score.correct / score.n for score in scores if score.n]
    if not shares:
        return Score()
    n = max(score.n for score in scores)
    loss = float(np.mean([score.loss for score in scores if score.n]))
    spread = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    return Score(float(np.mean(shares)) * n, n, loss, spread)
