"""The pocket model as a provider: free, offline, deterministic."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

from asyndbt._text import counted
from asyndbt.errors import DataError, ModelError
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt, Usage
from asyndbt.pocket import PocketModel

_UNKNOWN_WORDS: Final = 0.1
"""Share of the words in the texts above which the user is warned."""


class PocketLanguageModel(LanguageModel):
    """The tiny model that ships with the package, reading prompts as text.

    Its `score` never suspends: a run with it is a deterministic sequence.  It scores label words,
    or answers with one word.

    Examples
    --------
    >>> import asyncio
    >>> model = PocketLanguageModel()
    >>> prompt = Prompt((), 'How does "the movie was superb" feel? Answer:')
    >>> (answer,) = asyncio.run(model.score([prompt], ["great", "terrible"]))
    >>> answer.label_log_probabilities[0] > answer.label_log_probabilities[1]
    True
    """

    provider = "pocket"
    feedbacks = ("logprobs", "text")
    caveat = (
        "The language model is the pocket model, a tiny one made for demos: the figures say "
        "nothing about real ones."
    )
    batch = 64  # more are hardly faster, and a killed process loses no more than these

    def __init__(self, feedback: Feedback | None = None, **options: Any) -> None:
        super().__init__(feedback, **options)
        self._model = PocketModel.load()

    @property
    def name(self) -> str:
        return f"pocket/{_digest()}/{self.feedback}"

    def max_usage(self, prompt: Prompt) -> Usage:
        """Exact usage of one request for `prompt`: its tokens and one answered, no money."""
        return Usage(1, self._model.count_tokens(prompt.text), 1)

    def warnings(
        self, texts: Sequence[Sequence[str]], vocabulary: Sequence[str] = ()
    ) -> Sequence[str]:
        """Warn of unknown words; which ones of the texts stays at the sites."""
        return [*self._unknown_texts(texts), *self._unknown_entries(vocabulary)]

    def _unknown_texts(self, texts: Sequence[Sequence[str]]) -> Iterator[str]:
        share = max(map(self._model.unknown_share, texts))
        if share > _UNKNOWN_WORDS:
            of = "the words in the texts" if len(texts) == 1 else "the words in a site's texts"
            yield (
                f"pocket model: {'' if len(texts) == 1 else 'up to '}{100 * share:.0f} % of {of} "
                "are unknown to it; its answers mean little for them"
            )

    def _unknown_entries(self, vocabulary: Sequence[str]) -> Iterator[str]:
        unknown = sum(self._model.unknown_share([entry]) > 0 for entry in vocabulary)
        if unknown:
            yield (
                f"pocket model: {unknown} of {counted(len(vocabulary), 'entry', 'entries')} of the "
                "vocabulary have words that are unknown to it, which all read the same: "
                'method.vocabulary = "pocket" has only words that it knows'
            )

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find unusable labels and prompts that are too long; raises DataError."""
        if not labels:
            raise DataError(
                "the pocket model answers with one of the labels, and a task with a reward has "
                "none: use another lm.provider"
            )
        try:
            self._model.label_log_probabilities([], labels)
        except ValueError as error:
            raise DataError(f"pocket model: {error}") from error
        longest = max((self._model.count_tokens(prompt.text) for prompt in prompts), default=0)
        if longest > self._model.context:
            raise DataError(
                f"the longest prompt has {longest} tokens and the pocket model reads at most "
                f"{self._model.context}; use fewer demonstrations, a shorter fragment or shorter "
                "texts"
            )

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt; raises ModelError for an unusable label or too long a prompt."""
        texts = [prompt.text for prompt in prompts]
        usages = [self.max_usage(prompt) for prompt in prompts]
        with _explained():
            if self.feedback == "text":
                said = self._model.complete(texts)
                return [Answer(None, text, use) for text, use in zip(said, usages, strict=True)]
            scores = self._model.label_log_probabilities(texts, labels).tolist()
            return [Answer(tuple(row), None, use) for row, use in zip(scores, usages, strict=True)]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ModelError(str(error), provider="pocket") from error


@cache
def _digest() -> str:
    weights = files("asyndbt.pocket") / "weights.npz"
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
