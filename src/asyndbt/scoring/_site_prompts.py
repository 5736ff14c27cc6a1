"""A site's prompts: the texts they are made of, and upper bounds of their cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from asyndbt.lm import LIMITED, Calibration, LanguageModel, Limits, Prompt, Usage
from asyndbt.optim import NO_WORD, IntArray, Shape
from asyndbt.prompt import Demonstration, examples_in, render, render_all
from asyndbt.scoring._calibration import calibration_queries, content_free_queries
from asyndbt.task import Example, SiteData, Task, digest


@dataclass(frozen=True, slots=True)
class SitePrompts:
    """The texts that a site's prompts are made of.

    Parameters
    ----------
    task : Task
    data : SiteData
    slots : tuple of tuples of Example or Nearest
        (U, V) candidates of the demonstration slots: in each as many examples, then the rules.
    vocabulary : tuple of str
        N entries.
    positions : int
        M, words of a fragment.
    """

    task: Task
    data: SiteData
    slots: tuple[tuple[Demonstration, ...], ...]
    vocabulary: tuple[str, ...]
    positions: int

    @property
    def shape(self) -> Shape:
        """Sizes of the site's problem."""
        candidates = len(self.slots[0]) if self.slots else 0
        words = len(self.vocabulary) if self.positions else 0
        return Shape(self.positions, words, len(self.slots), candidates)

    @property
    def digests(self) -> dict[str, str]:
        """Digests of task, vocabulary and parts of the data, by name.

        Where they are equal, indices mean the same texts in the same splits.
        """
        own = {"task": self.task.to_dict(), "vocabulary": [self.vocabulary, self.positions]}
        return {name: digest(part) for name, part in own.items()} | self.data.digests

    def fragment(self, words: IntArray) -> tuple[str, ...]:
        """Return the vocabulary entries at indices (M,), none for `NO_WORD`."""
        return tuple(self.vocabulary[index] for index in words if index != NO_WORD)

    def chosen(self, demonstrations: IntArray) -> tuple[Demonstration, ...]:
        """Return the candidates at indices (U,), in the order of the slots."""
        return tuple(slot[index] for slot, index in zip(self.slots, demonstrations, strict=True))

    def random_examples(self, rng: np.random.Generator) -> IntArray:
        """Draw an example for every slot, (U,) indices of candidates."""
        slot = next(iter(self.slots), ())
        examples = sum(isinstance(candidate, Example) for candidate in slot)
        return rng.integers(examples, size=len(self.slots))

    def prompts(
        self, words: IntArray, demonstrations: IntArray, examples: Iterable[Example]
    ) -> list[Prompt]:
        """Return one prompt per example, with this fragment (M,) and these demonstrations (U,)."""
        shown, fragment = self.chosen(demonstrations), self.fragment(words)
        return render_all(self.task, shown, fragment, (each.fields for each in examples))

    def longest(self, examples: Iterable[Example], model: LanguageModel) -> list[Prompt]:
        """Return one prompt per example, with the costliest words and demonstrations."""

        def size(text: str) -> int:
            return model.max_usage(Prompt((), text)).tokens

        def demonstration_size(example: Example) -> int:
            return size(render(self.task, (example,), (), example.fields).text)

        shown = [max(examples_in(slot), key=demonstration_size) for slot in self.slots]
        fragment = [max(self.vocabulary, key=size, default="")] * self.positions
        return render_all(self.task, shown, fragment, (each.fields for each in examples))


_FINALISTS: Final = 16
"""Prompts that are compared at the end on all validation and training queries, without a budget."""
LOOKS_SHARE: Final = 0.15
"""Largest share of a site's calls, evaluation apart, that goes into looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Upper bounds of a site's usage, and what its budget leaves for looks.

    A look is a prompt that tells about validation data: in a validation while tuning, or in the
    comparisons at the end, which also use training queries.

    Parameters
    ----------
    prompt : Usage
        One prompt about a training or validation query.
    tests : tuple of Usage
        One test example under all kinds of prompt, by example; the first one bears what it costs
        to calibrate these.
    test_rows : int
        Test examples that are evaluated, the first ones.
    test_kinds : int
        Kinds of prompt: plain, tuned, and random demonstrations.
    evaluation : Usage
        What is kept back for the test examples.
    hints : Usage
        What hints for the vocabulary cost before tuning, if the site's model writes any.
    content_free : int
        Content-free queries that a prompt is asked besides its queries, wherever it is asked.
    step_prompts : int
        Prompts of a local step; 0 for a method that tunes without requests.
    validations : int
        Prompts of which the whole validation split is scored at least, as far as the budget goes;
        0 for such a method, which validates with what the evaluation leaves.
    validation_rows : int
        Validation queries of a validation.
    looks : int
        Looks that are kept back for, at most.
    """

    prompt: Usage
    tests: tuple[Usage, ...] = ()
    test_rows: int = 0
    test_kinds: int = 1
    evaluation: Usage = field(default_factory=Usage)
    content_free: int = 0
    step_prompts: int = 1
    validations: int = 0
    validation_rows: int = 1
    looks: int = 0
    hints: Usage = field(default_factory=Usage)

    @classmethod
    def of(
        cls,
        prompts: SitePrompts,
        model: LanguageModel,
        *,
        draws: int,
        batch_size: int,
        validations: int,
        random_draws: int,
        calibration: Calibration = "none",
        hints: Usage | None = None,
    ) -> Needs:
        """Bound the usage of a site that has no budget.

        Parameters
        ----------
        prompts : SitePrompts
        model : LanguageModel
        draws, batch_size : int
            Prompts of a local step, and training queries of each.
        validations : int
            Prompts of which the whole validation split is scored.
        random_draws : int
            Draws of random demonstrations that are evaluated on the test split.
        calibration : {"none", "contextual", "batch"}
        hints : Usage, optional
            What hints for the vocabulary cost.
        """
        task, data = prompts.task, prompts.data
        free = content_free_queries(task) if calibration == "contextual" else ()
        asked = [
            model.max_usage(prompt)
            for prompt in prompts.longest((*data.train, *data.validation, *free), model)
        ]
        worst = Usage(
            1,
            max(usage.tokens_in for usage in asked),
            max(usage.tokens_out for usage in asked),
            max(usage.money for usage in asked),
        )
        kinds = 2 + (random_draws if prompts.slots else 0)
        tests = [
            times(model.max_usage(prompt), kinds) for prompt in prompts.longest(data.test, model)
        ]
        calibrating = kinds * len(calibration_queries(calibration, task, data))
        tests[:1] = [first + times(worst, calibrating) for first in tests[:1]]
        rows = len(data.validation)
        return cls(
            prompt=worst,
            tests=tuple(tests),
            test_rows=len(tests),
            test_kinds=kinds,
            evaluation=sum(tests, Usage()),
            content_free=len(free),
            step_prompts=draws * (len(free) + batch_size),
            validations=validations,
            validation_rows=rows,
            looks=validations * (len(free) + rows)
            + _FINALISTS * (len(free) + rows + len(data.train)),
            hints=hints or Usage(),
        )

    @property
    def step(self) -> Usage:
        """A local step."""
        return times(self.prompt, self.step_prompts)

    @property
    def first_test(self) -> Usage:
        """The first test example under all kinds of prompt, if there is one."""
        return self.tests[0] if self.tests else Usage()

    @property
    def tuning(self) -> Usage:
        """Least usage with which a prompt can be tuned."""
        return self.hints + self.step + times(self.prompt, self._least_looks)

    @property
    def least(self) -> Usage:
        """Least usage with which a prompt can be tuned, and evaluated on one example."""
        return self.tuning + self.first_test

    @property
    def _least_looks(self) -> int:
        """Looks of validations on one query each."""
        return self.validations * (self.content_free + 1)

    def testing(self, kept: Usage) -> Needs:
        """Return the needs with as many test examples as `kept` covers, which is kept back."""
        spent = Usage()
        for rows, test in enumerate(self.tests):
            spent += test
            if any(getattr(spent, name) > getattr(kept, name) for name in LIMITED):
                return replace(self, test_rows=rows, evaluation=kept)
        return self

    def evaluating_again(self, rows: int) -> Usage:
        """Return what is kept back where the first `rows` examples were evaluated before.

        Of those, only the answers under the tuned prompt are new.
        """
        paid, kinds = sum(self.tests[: min(rows, self.test_rows)], Usage()), self.test_kinds
        return self.evaluation - Usage(
            paid.calls * (kinds - 1) // kinds,
            paid.tokens_in * (kinds - 1) // kinds,
            paid.tokens_out * (kinds - 1) // kinds,
            paid.money * (kinds - 1) / kinds,
        )

    def within(self, limits: Limits, steps: int | None = None) -> Needs:
        """Return the needs with no more looks than their share of these limits.

        Parameters
        ----------
        limits : Limits
        steps : int, optional
            Most local steps, of which looks take no larger share either.
        """
        prompts = self._prompts_within(limits)
        tuned = prompts if steps is None else min(prompts, steps * self.step_prompts)
        looks = min(self.looks, int(LOOKS_SHARE * tuned), prompts - self.step_prompts)
        looks = max(looks, self._least_looks)
        rows = looks // max(1, self.validations) - self.content_free
        rows = max(1, min(self.validation_rows, rows))
        return replace(self, looks=looks, validation_rows=rows)

    def steps_within(self, limits: Limits) -> int:
        """Return how many local steps a budget covers for certain; 100,000 without one."""
        return max(0, self._prompts_within(limits) - self.looks) // max(1, self.step_prompts)

    def _prompts_within(self, limits: Limits) -> int:
        """Return how many prompts limits cover beside evaluation and hints; many without any."""
        others = self.evaluation + self.hints
        counts = [
            (cap - getattr(others, name)) / used
            for name in LIMITED
            if (cap := limits.cap(name)) is not None and (used := getattr(self.prompt, name))
        ]
        return int(min(counts, default=100_000 * max(1, self.step_prompts) + self.looks))


def times(usage: Usage, count: int) -> Usage:
    """Return a multiple of a usage."""
    return Usage(
        usage.calls * count, usage.tokens_in * count, usage.tokens_out * count, usage.money * count
    )
