"""What a baseline has found at a site: a way to classify queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from asyndbt.lm import LabelPrior, Prompt
from asyndbt.optim import IntArray
from asyndbt.prompt import TunedPrompt, render
from asyndbt.run import to_json, write_atomically, write_prompt
from asyndbt.scoring import PromptObjective, Score, SitePrompts, TestScores
from asyndbt.task import Example, Task


class Predictor(Protocol):
    """Classifies queries at one site."""

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        ...

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references with it, once."""

    def write(self, folder: Path, prior: LabelPrior | None) -> None:
        """Write what was found, and the prior of the test, if any, into the site's folder."""


class _PromptPredictor(ABC):
    """Classifies each query with one prompt."""

    @abstractmethod
    def prompts(self, queries: Sequence[Example]) -> list[Prompt]:
        """Return one prompt per query."""

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        return await objective.validate_prompts(self.prompts)

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references with it."""
        return await objective.test_prompts(self.prompts, rng)


@dataclass(frozen=True)
class FixedPrompt(_PromptPredictor):
    """The same fragment for every query, and the same demonstrations or rules."""

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

    def write(self, folder: Path, prior: LabelPrior | None) -> None:
        """Write the prompt, as AsynDBT does."""
        write_prompt(folder, replace(self.prompt, prior=prior))

    def prompts(self, queries: Sequence[Example]) -> list[Prompt]:
        """Return one prompt per query."""
        return self.prompt.render_all(query.fields for query in queries)


@dataclass(frozen=True)
class RetrievedPrompts(_PromptPredictor):
    """Separate demonstrations for every query: `retrieve` finds them on the shelf, in order."""

    task: Task
    retrieve: Callable[[Sequence[Example]], list[list[Example]]]
    shelf: tuple[Example, ...]

    def write(self, folder: Path, prior: LabelPrior | None) -> None:
        """Write the shelf that demonstrations are retrieved from."""
        shelf = [{**example.fields, "label": example.label} for example in self.shelf]
        write_atomically(folder / "result.json", to_json({"retrieved_from": shelf}))

    def prompts(self, queries: Sequence[Example]) -> list[Prompt]:
        """Return one prompt per query."""
        shown = self.retrieve(queries)
        return [
            render(self.task, each, (), query.fields)
            for each, query in zip(shown, queries, strict=True)
        ]
