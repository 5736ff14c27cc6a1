"""What a baseline has found at a site: something that answers queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from asyndbt.federation import PromptObjective, Score, SitePrompts, TestScores
from asyndbt.lm import Prompt
from asyndbt.optim import IntArray
from asyndbt.prompt import TunedPrompt, render
from asyndbt.run import to_json, write_atomically, write_prompt
from asyndbt.task import Example, Task


class Predictor(Protocol):
    """Answers queries at one site.

    Implementations: `FixedPrompt`, `RetrievedPrompts`, `Reasoned`, `TrainedEncoder`.
    """

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        ...

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references beside it, once."""
        ...

    def write(self, folder: Path) -> None:
        """Write what was found into the site's own part of the run directory."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPrompt:
    """The same fragment and demonstrations for every query."""

    prompt: TunedPrompt

    @classmethod
    def of(cls, prompts: SitePrompts, words: IntArray, shown: IntArray) -> FixedPrompt:
        """Take words (M,) and demonstrations (U,) by their indices."""
        fragment, examples = prompts.fragment(words), prompts.chosen(shown)
        return cls(TunedPrompt(prompts.task, fragment, examples))

    @classmethod
    def of_words(cls, prompts: SitePrompts, words: IntArray) -> FixedPrompt:
        """Take words (M,) by their indices, and no demonstrations."""
        return cls(TunedPrompt(prompts.task, prompts.fragment(words)))

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        return await objective.validate_prompts(self._rendered(objective.prompts.data.validation))

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references beside it."""
        return await objective.test_prompts(self._rendered(objective.prompts.data.test), rng)

    def write(self, folder: Path) -> None:
        """Write the prompt, as a run of AsynDBT does."""
        write_prompt(folder, self.prompt)

    def _rendered(self, examples: Sequence[Example]) -> list[Prompt]:
        return [self.prompt.render(**example.fields) for example in examples]


@dataclass(frozen=True, slots=True)
class RetrievedPrompts:
    """Demonstrations of its own for every query.

    Parameters
    ----------
    task : Task
    retrieve : callable
        From queries to the examples that each is shown, in the order shown.
    shelf : tuple of Example
        What is retrieved from.
    """

    task: Task
    retrieve: Callable[[Sequence[Example]], list[list[Example]]]
    shelf: tuple[Example, ...]

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        return await objective.validate_prompts(self.prompts(objective.prompts.data.validation))

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references beside it."""
        return await objective.test_prompts(self.prompts(objective.prompts.data.test), rng)

    def write(self, folder: Path) -> None:
        """Write the examples that demonstrations are retrieved from; there is no one prompt."""
        shelf = [{**example.fields, "label": example.label} for example in self.shelf]
        write_atomically(folder / "result.json", to_json({"retrieved_from": shelf}))

    def prompts(self, queries: Sequence[Example]) -> list[Prompt]:
        """Return one prompt per query."""
        shown = self.retrieve(queries)
        return [
            render(self.task, each, (), query.fields)
            for each, query in zip(shown, queries, strict=True)
        ]
