"""Zero-shot chain of thought: the model is instructed to reason before it answers.

Source: Kojima et al., "Large language models are zero-shot reasoners", NeurIPS 2022, arXiv
2205.11916; and the one-call form of Ma et al., Scientific Reports 16:9381 (2026).

Steps, ``calls = 1``: the manual prompt and "Let's think step by step, first output your analysis,
and then output the final answer."; the label is read from the end of the answer.
Steps, ``calls = 2``: the manual prompt and "Let's think step by step."; then the same with the
model's reasoning and "Therefore, the answer (LABELS) is"; the label is read from the second answer.

Needs a model that can reason in text: ``lm.feedback = "text"`` and some hundred ``lm.max_tokens``.
Otherwise the one-call form measures only the effect of an added sentence, since the label is scored
where the reasoning would begin; the pocket model always answers with one word. The two-call form
refuses other feedback than text; with the pocket model the reasoning is that one word.

Departures: the published extraction differs from task to task; here the last line that names one
label decides, and in it what follows the last "answer". The gateway's count ``unparsed`` does not
use that rule: it includes reasoning that names two labels.

A call is spent on: one validation, for the record only, and the evaluation; in the two-call form
the budget for tuning pays for the reasoning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import Predictor
from asyndbt.errors import BudgetError, ConfigError
from asyndbt.lm import Answer, LabelPrior, Prompt, parse_label, read_answers
from asyndbt.prompt import TunedPrompt, fold, render
from asyndbt.run import write_prompt
from asyndbt.scoring import PromptObjective, Score, TestScores
from asyndbt.task import Example, Task

ONE_CALL = "Let's think step by step, first output your analysis, and then output the final answer."
TWO_CALLS = "Let's think step by step."


@dataclass(frozen=True, slots=True)
class ZeroShotCoT(PerSiteBaseline):
    """Reason, then answer, with `calls` (1 or 2) calls of the language model per query."""

    calls: Literal[1, 2] = 1
    name: ClassVar[str] = "zero-shot-cot"
    needs_labels: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.calls not in (1, 2):
            raise ConfigError(f"calls = {self.calls}: the forms have 1 or 2")

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Check that the prompts fit."""
        if self.calls == 2 and site.objective.feedback != "text":
            raise ConfigError(
                'the two-call form reads the model\'s thoughts: set lm.feedback = "text" and room '
                "for them in lm.max_tokens"
            )
        reasoned, model = Reasoned(site.task, self.calls), site.objective.gateway.model
        model.check(reasoned.prompts(site.prompts.data.queries), site.task.label_words)
        return reasoned, 0


@dataclass(frozen=True, slots=True)
class Reasoned:
    """Answers after reasoning, in `calls` calls per query."""

    task: Task
    calls: int

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        objective.gateway.budget.release("validation")
        prior = await objective.prior(self.prompts)
        return await self._score(objective, objective.prompts.data.validation, prior)

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references with it."""
        objective.gateway.budget.release("test")
        prior = await objective.prior(self.prompts)
        tuned = await self._score(objective, objective.test_queries, prior)
        references = await objective.test_prompts(None, rng)
        return replace(references, tuned=tuned, prior=prior)

    def write(self, folder: Path, prior: LabelPrior | None) -> None:
        """Write the first prompt."""
        write_prompt(folder, TunedPrompt(self._thinking, prior=prior))

    @property
    def _thinking(self) -> Task:
        added = ONE_CALL if self.calls == 1 else TWO_CALLS
        return replace(self.task, instruction=f"{self.task.instruction} {added}")

    def prompts(self, queries: Sequence[Example]) -> list[Prompt]:
        """Return the first prompt for each query."""
        return [render(self._thinking, (), (), query.fields) for query in queries]

    async def _score(
        self, objective: PromptObjective, queries: Sequence[Example], prior: LabelPrior | None
    ) -> Score:
        words = self.task.label_words
        first = self.prompts(queries)
        try:
            answers = await objective.gateway.ask(first, words)
            if self.calls == 2:
                answers = await objective.gateway.ask(self._second(first, answers), words)
        except BudgetError:
            return Score()
        found = read_answers(answers, words, objective.feedback, objective.smoothing, final_label)
        return objective.score_of(prior.calibrate(found) if prior else found, queries)

    def _second(self, first: Sequence[Prompt], thoughts: Sequence[Answer | None]) -> list[Prompt]:
        """Return the prompts for the answer; the reasoning is empty where its request failed."""
        named = " or ".join(self.task.label_words)
        return [
            Prompt(
                (),
                f"{prompt.query} {fold((thought and thought.text) or '')} "
                f"Therefore, the answer ({named}) is",
            )
            for prompt, thought in zip(first, thoughts, strict=True)
        ]


def final_label(text: str, label_words: Sequence[str]) -> int | None:
    r"""Return the index of the label that a text of reasoning ends with, or None.

    The last sentence or line that names any label decides; if it names several, what follows the
    last "answer" in it.

    Examples
    --------
    >>> words = ["terrible", "great"]
    >>> final_label("A great cast. But the plot is thin.\nFinal answer: terrible.", words)
    0
    >>> final_label("It could be great or terrible, so the answer is great", words)
    1
    >>> final_label("It is great or terrible.", words) is None
    True
    """
    for part in reversed(re.split(r"[\n.!?]+", text)):
        if not any(parse_label(part, [word]) == 0 for word in label_words):
            continue
        label = parse_label(part, label_words)
        if label is None:
            label = parse_label(re.split(r"(?i)answer", part)[-1], label_words)
        return label
    return None
