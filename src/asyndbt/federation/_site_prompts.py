"""A site's prompts: the texts they are made of, and upper bounds of their cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from asyndbt.lm import LanguageModel, Limits, Prompt, Usage
from asyndbt.optim import IntArray, Shape
from asyndbt.prompt import render
from asyndbt.task import Example, SiteData, Task


@dataclass(frozen=True, slots=True)
class SitePrompts:
    """The texts that a site's prompts are made of.

    Parameters
    ----------
    task : Task
    data : SiteData
    slots : tuple of tuples of Example
        (U, V) candidates of the demonstration slots.
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
        """SHA-256 of the contents: equal where indices mean the same texts in the same splits."""
        data = self.data
        parts = (data.train, data.validation, data.test, *self.slots)
        held = [[(example.content, example.label) for example in part] for part in parts]
        whole = [asdict(self.task), held, self.vocabulary, self.positions]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    def fragment(self, words: IntArray) -> tuple[str, ...]:
        """Return the vocabulary entries at indices (M,)."""
        return tuple(self.vocabulary[index] for index in words)

    def chosen(self, demonstrations: IntArray) -> tuple[Example, ...]:
        """Return the candidates at indices (U,), in the order of the slots."""
        return tuple(slot[index] for slot, index in zip(self.slots, demonstrations, strict=True))

    def prompts(
        self, words: IntArray, demonstrations: IntArray, examples: Iterable[Example]
    ) -> list[Prompt]:
        """Return one prompt per example, with this fragment (M,) and these demonstrations (U,)."""
        shown, fragment = self.chosen(demonstrations), self.fragment(words)
        return [render(self.task, shown, fragment, example.fields) for example in examples]

    def longest(self, examples: Iterable[Example], model: LanguageModel) -> list[Prompt]:
        """Return one prompt per example, with the costliest words and demonstrations."""

        def size(text: str) -> int:
            return model.max_usage(Prompt((), text)).tokens

        def demonstration_size(example: Example) -> int:
            return size(render(self.task, (example,), (), example.fields).text)

        shown = [max(slot, key=demonstration_size) for slot in self.slots]
        fragment = [max(self.vocabulary, key=size, default="")] * self.positions
        return [render(self.task, shown, fragment, example.fields) for example in examples]


@dataclass(frozen=True, slots=True)
class Needs:
    """Upper bounds of a site's usage.

    Parameters
    ----------
    prompt : Usage
        One prompt about a training query.
    validation : Usage
        One evaluation of the validation split.
    validations : int
        Such evaluations, during tuning and at the end.
    evaluation : Usage
        The test split under three kinds of prompt.
    step_prompts : int
        Prompts of a local step.
    """

    prompt: Usage
    validation: Usage
    validations: int
    evaluation: Usage
    step_prompts: int = 1

    @classmethod
    def of(
        cls,
        prompts: SitePrompts,
        model: LanguageModel,
        *,
        step_prompts: int,
        validations: int,
        random_draws: int,
    ) -> Needs:
        """Bound the usage of a site.

        Parameters
        ----------
        prompts : SitePrompts
        model : LanguageModel
        step_prompts : int
            Prompts of a local step.
        validations : int
            Evaluations of the validation split.
        random_draws : int
            Draws of random demonstrations that are evaluated on the test split.
        """
        data = prompts.data
        train = [model.max_usage(prompt) for prompt in prompts.longest(data.train, model)]
        worst = Usage(
            1,
            max(usage.tokens_in for usage in train),
            max(usage.tokens_out for usage in train),
            max(usage.money for usage in train),
        )
        validation = _total(model, prompts.longest(data.validation, model))
        test = _total(model, prompts.longest(data.test, model))
        kinds = 2 + (random_draws if prompts.slots else 0)
        return cls(worst, validation, validations, times(test, kinds), step_prompts)

    @property
    def step(self) -> Usage:
        """A local step."""
        return times(self.prompt, self.step_prompts)

    @property
    def least(self) -> Usage:
        """Least usage with which a prompt can be tuned and evaluated."""
        return self.step + times(self.validation, self.validations) + self.evaluation

    def steps_within(self, limits: Limits) -> int:
        """Return how many local steps a budget covers for certain; 100,000 without one."""
        reserved = times(self.validation, self.validations) + self.evaluation
        counts = [
            (limits.cap(field) - getattr(reserved, field)) // getattr(self.step, field)
            for field in ("calls", "tokens", "money")
            if limits.cap(field) is not None and getattr(self.step, field)
        ]
        return int(min(counts, default=100_000))


def _total(model: LanguageModel, prompts: Iterable[Prompt]) -> Usage:
    return sum((model.max_usage(prompt) for prompt in prompts), Usage())


def times(usage: Usage, count: int) -> Usage:
    """Return a multiple of a usage."""
    return Usage(
        usage.calls * count, usage.tokens_in * count, usage.tokens_out * count, usage.money * count
    )
