"""A site's real objective: draws become prompts, prompts become answers, answers become losses.

Everything here stays at the site. Queries, demonstrations and answers are texts in this module and
nowhere above it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from asyndbt.federation.messages import Score, Spent
from asyndbt.federation.objective import TestScores
from asyndbt.lm import (
    Feedback,
    Gateway,
    LanguageModel,
    Limits,
    Prompt,
    Tally,
    Usage,
    correct,
    losses,
)
from asyndbt.optim import FloatArray, IntArray, Shape
from asyndbt.prompt import render
from asyndbt.task import Example, SiteData, Task

__all__ = ["Needs", "PromptObjective", "SitePrompts"]


@dataclass(frozen=True, slots=True)
class SitePrompts:
    """What a site's prompts are made of.

    Parameters
    ----------
    task : Task
    data : SiteData
    slots : tuple of tuples of Example
        (U, V) candidates of every demonstration slot.
    vocabulary : tuple of str
        N entries.
    positions : int
        M, words of a fragment.
    """

    task: Task
    data: SiteData
    slots: tuple[tuple[Example, ...], ...]
    vocabulary: tuple[str, ...]
    positions: int

    @property
    def shape(self) -> Shape:
        """Sizes of the site's problem."""
        candidates = len(self.slots[0]) if self.slots else 0
        words = len(self.vocabulary) if self.positions else 0
        return Shape(self.positions, words, len(self.slots), candidates)

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: equal where indices mean the same texts, in the same splits."""
        data = self.data
        parts = (data.train, data.validation, data.test, *self.slots)
        held = [[(example.content, example.label) for example in part] for part in parts]
        whole = [asdict(self.task), held, self.vocabulary, self.positions]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    def fragment(self, words: IntArray) -> tuple[str, ...]:
        """Entries of the vocabulary at these indices (M,)."""
        return tuple(self.vocabulary[index] for index in words)

    def chosen(self, demonstrations: IntArray) -> tuple[Example, ...]:
        """Candidates at these indices (U,), in the order of the slots."""
        return tuple(slot[index] for slot, index in zip(self.slots, demonstrations, strict=True))

    def prompts(
        self, words: IntArray, demonstrations: IntArray, examples: Iterable[Example]
    ) -> list[Prompt]:
        """One prompt per example, all with the same fragment and demonstrations."""
        shown, fragment = self.chosen(demonstrations), self.fragment(words)
        return [render(self.task, shown, fragment, example.fields) for example in examples]

    def longest(self, examples: Iterable[Example], model: LanguageModel) -> list[Prompt]:
        """One prompt per example, with the words and demonstrations that cost the model most."""

        def size(text: str) -> int:
            return model.estimate(Prompt((), text)).tokens

        def shown_size(example: Example) -> int:
            prompt = render(self.task, (example,), (), example.fields)
            return size(prompt.text)

        shown = [max(slot, key=shown_size) for slot in self.slots]
        fragment = [max(self.vocabulary, key=size, default="")] * self.positions
        return [render(self.task, shown, fragment, example.fields) for example in examples]


@dataclass(frozen=True, slots=True)
class Needs:
    """Upper bounds of what a site must be able to spend.

    Parameters
    ----------
    prompt : Usage
        One prompt about a training query.
    look : Usage
        One look at the whole validation split.
    looks : int
        Looks, on the way and at the end.
    evaluation : Usage
        The test split under three kinds of prompt.
    step_prompts : int
        Prompts of one local step.
    """

    prompt: Usage
    look: Usage
    looks: int
    evaluation: Usage
    step_prompts: int = 1

    @classmethod
    def of(
        cls,
        prompts: SitePrompts,
        model: LanguageModel,
        *,
        step_prompts: int,
        looks: int,
        random_draws: int,
    ) -> Needs:
        """Bound the cost of a site.

        Parameters
        ----------
        prompts : SitePrompts
        model : LanguageModel
        step_prompts : int
            Prompts of one local step.
        looks : int
            Looks at the validation split.
        random_draws : int
            Draws of random demonstrations evaluated on the test split.
        """
        data = prompts.data
        train = [model.estimate(prompt) for prompt in prompts.longest(data.train, model)]
        worst = Usage(
            1,
            max(usage.tokens_in for usage in train),
            max(usage.tokens_out for usage in train),
            max(usage.money for usage in train),
        )
        look = _total(model, prompts.longest(data.validation, model))
        test = _total(model, prompts.longest(data.test, model))
        kinds = 2 + (random_draws if prompts.slots else 0)
        return cls(worst, look, looks, _times(test, kinds), step_prompts)

    @property
    def step(self) -> Usage:
        """One local step."""
        return _times(self.prompt, self.step_prompts)

    @property
    def least(self) -> Usage:
        """Without this much no prompt can be tuned and judged."""
        return self.step + _times(self.look, self.looks) + self.evaluation

    def steps_within(self, limits: Limits) -> int:
        """Local steps that a budget surely covers; 100,000 without limits."""
        held = _times(self.look, self.looks) + self.evaluation
        counts = [
            (limits.cap(field) - getattr(held, field)) // getattr(self.step, field)
            for field in ("calls", "tokens", "money")
            if limits.cap(field) is not None and getattr(self.step, field)
        ]
        return int(min(counts, default=100_000))


class PromptObjective:
    """One site's data behind its gateway to the language model.

    Parameters
    ----------
    prompts : SitePrompts
    gateway : Gateway
    needs : Needs
        Kept back from the budget until their time comes.
    feedback : {"logprobs", "text"}
    smoothing : float
        e of text feedback.
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
        smoothing: float = 0.1,
        random_draws: int = 5,
    ) -> None:
        self.prompts, self.gateway = prompts, gateway
        self._needs, self._feedback, self._smoothing = needs, feedback, smoothing
        self._random_draws = random_draws
        self._looks_left = needs.looks
        self._keep_back()

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
        """Whether the budget for tuning covers this many more prompts, whatever they cost."""
        return self.gateway.budget.affords(_times(self._needs.prompt, prompts))

    def spent(self) -> Spent:
        """Figures of the ledger."""
        ledger = self.gateway.ledger()
        return Spent(
            calls=ledger.paid.calls,
            requests=ledger.requests,
            failed=ledger.failed,
            unparsed=ledger.unparsed,
            tokens_in=ledger.paid.tokens_in,
            tokens_out=ledger.paid.tokens_out,
            money=ledger.paid.money,
        )

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Ask for every draw on every query, in one batch."""
        examples = [self.prompts.data.train[index] for index in queries]
        batch = [
            prompt
            for w, d in zip(words, demonstrations, strict=True)
            for prompt in self.prompts.prompts(w, d, examples)
        ]
        values, _ = await self._losses(batch, examples * len(words))
        return values.reshape(len(words), len(queries))

    async def validate(self, words: IntArray, demonstrations: IntArray) -> Score:
        """Score one prompt on the validation split, out of what was kept back for that."""
        examples = self.prompts.data.validation
        batch = self.prompts.prompts(words, demonstrations, examples)
        cost = self.gateway.estimate(batch, self.prompts.task.label_words)
        if cost.calls and self._looks_left:
            self._looks_left -= 1
            self._keep_back()
        elif not self.gateway.budget.affords(cost):
            return Score()
        return await self._score(batch, examples)

    async def test(
        self, words: IntArray, demonstrations: IntArray, rng: np.random.Generator
    ) -> TestScores:
        """Score the test split under the plain prompt, random demonstrations, the tuned prompt."""
        self.gateway.budget.release("validation")
        self.gateway.budget.release("test")
        task, examples = self.prompts.task, self.prompts.data.test
        if not examples:
            return TestScores(Score(), Score(), Score())
        plain = await self._score([render(task, (), (), e.fields) for e in examples], examples)
        shape, draws = self.shape, []
        for _ in range(self._random_draws if shape.slots else 0):
            drawn = rng.integers(shape.candidates, size=shape.slots)
            shown = self.prompts.chosen(drawn)
            batch = [render(task, shown, (), e.fields) for e in examples]
            draws.append(await self._score(batch, examples))
        tuned = await self._score(self.prompts.prompts(words, demonstrations, examples), examples)
        return TestScores(plain, _average(draws), tuned)

    def state(self) -> dict[str, int]:
        """Counts that belong into the worker's checkpoint."""
        return {"looks_left": self._looks_left, **asdict(self.gateway.tally)}

    def restore(self, state: Mapping[str, int]) -> None:
        """Take over what `state` wrote."""
        counts = dict(state)
        self._looks_left = counts.pop("looks_left")
        self._keep_back()
        self.gateway.restore(Tally(**counts))

    def _keep_back(self) -> None:
        budget = self.gateway.budget
        budget.reserve("validation", _times(self._needs.look, self._looks_left))
        budget.reserve("test", self._needs.evaluation)

    async def _losses(
        self, batch: Sequence[Prompt], examples: Sequence[Example]
    ) -> tuple[FloatArray, FloatArray]:
        """Losses and right answers of prompts about these examples; NaN where one failed."""
        task = self.prompts.task
        gold = [task.class_of(example.label) for example in examples]
        answers = await self.gateway.ask(batch, task.label_words)
        values, _ = losses(answers, gold, task.label_words, self._feedback, self._smoothing)
        return values, correct(answers, gold, task.label_words, self._feedback)

    async def _score(self, batch: Sequence[Prompt], examples: Sequence[Example]) -> Score:
        if not batch:
            return Score()
        values, right = await self._losses(batch, examples)
        answered = np.isfinite(values)
        if not answered.any():
            return Score()
        return Score(
            float(right[answered].sum()), int(answered.sum()), float(values[answered].mean())
        )


def _average(scores: Sequence[Score]) -> Score:
    """Mean over draws; `spread` is the standard deviation of their accuracies."""
    shares = [score.correct / score.n for score in scores if score.n]
    if not shares:
        return Score()
    n = max(score.n for score in scores)
    loss = float(np.mean([score.loss for score in scores if score.n]))
    spread = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    return Score(float(np.mean(shares)) * n, n, loss, spread)


def _total(model: LanguageModel, prompts: Iterable[Prompt]) -> Usage:
    return sum((model.estimate(prompt) for prompt in prompts), Usage())


def _times(usage: Usage, count: int) -> Usage:
    return Usage(
        usage.calls * count, usage.tokens_in * count, usage.tokens_out * count, usage.money * count
    )
