"""From prompts to answers that were read: as labels, or as texts with a reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asyndbt.errors import ConfigError
from asyndbt.lm import (
    Feedback,
    Gateway,
    Predictions,
    Prompt,
    ReadAnswers,
    RewardedAnswers,
)
from asyndbt.scoring._judge import Judge
from asyndbt.task import Example, Task


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Asks a site's prompts, and reads the answers as its task judges them.

    Parameters
    ----------
    gateway : Gateway
    task : Task
    feedback : {"logprobs", "votes", "text"}
    smoothing : float
        e of feedback ``text`` and ``votes``, for labels.
    judge : Judge, optional
        Says what answers are worth, where the reward is that of a judge.

    Raises
    ------
    ConfigError
        If the task has a reward, and the feedback is not ``text``, or its judge is missing.
    """

    gateway: Gateway
    task: Task
    feedback: Feedback
    smoothing: float
    judge: Judge | None = None

    def __post_init__(self) -> None:
        if self.task.reward is not None and self.feedback != "text":
            raise ConfigError(
                f"feedback = {self.feedback!r}, and a reward judges texts: set feedback = 'text'"
            )

    async def read(
        self, prompts: Sequence[Prompt], examples: Sequence[Example], watched: bool = False
    ) -> ReadAnswers:
        """Ask prompts about as many examples; `watched` as for `Gateway.ask`.

        Raises
        ------
        ConfigError
            If the model gives no texts.
        DataError
            If the reward is none: see `Reward`.
        """
        reward = self.task.reward
        if reward is None:
            return await self.predict(prompts, watched)
        answers = await self.gateway.ask(prompts, (), watched=watched)
        if any(answer is not None and answer.text is None for answer in answers):
            raise ConfigError("a reward judges texts, and the language model gave scores alone")
        if self.judge is not None:
            return RewardedAnswers(await self.judge.rewards(examples, answers))
        pairs = zip(examples, answers, strict=True)
        return RewardedAnswers(
            np.array(
                [np.nan if each is None else reward(of, each.text or "") for of, each in pairs]
            )
        )

    async def predict(self, prompts: Sequence[Prompt], watched: bool = False) -> Predictions:
        """Ask prompts, and read the answers as labels."""
        words = self.task.label_words
        return await self.gateway.predict(
            prompts, words, self.feedback, self.smoothing, watched=watched
        )
