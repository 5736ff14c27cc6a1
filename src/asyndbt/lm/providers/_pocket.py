"""The pocket model as a language model: free, offline, deterministic."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm._base import Answer, Probe, Prompt, Usage
from asyndbt.lm._feedback import Feedback
from asyndbt.pocket import PocketModel

__all__ = ["PocketLanguageModel"]


class PocketLanguageModel:
    """The tiny model that ships with the package, reading prompts as text.

    Its `score` never suspends: a run with it is a deterministic sequence.

    Parameters
    ----------
    feedback : {"logprobs", "text"}
        Whether it scores label words or answers with one word.

    Raises
    ------
    ConfigError
        If there is no such feedback.

    Examples
    --------
    >>> import asyncio
    >>> model = PocketLanguageModel()
    >>> prompt = Prompt((), 'How does "the movie was superb" feel? Answer:')
    >>> (answer,) = asyncio.run(model.score([prompt], ["great", "terrible"]))
    >>> answer.label_log_probabilities[0] > answer.label_log_probabilities[1]
    True
    """

    def __init__(self, feedback: Feedback = "logprobs") -> None:
        if feedback not in ("logprobs", "text"):
            raise ConfigError(f"feedback = {feedback!r}: the choices are 'logprobs' and 'text'")
        self._model = PocketModel.load()
        self._feedback = feedback

    @property
    def name(self) -> str:
        """Identity: digest of the weights, and the feedback."""
        return f"pocket/{_digest()}/{self._feedback}"

    @property
    def batch(self) -> int:
        """64: more are hardly faster, and a killed process loses no more than these."""
        return 64

    @property
    def metered(self) -> bool:
        """False: it computes here."""
        return False

    @property
    def priced(self) -> bool:
        """True: it says what it costs."""
        return True

    def estimate(self, prompt: Prompt) -> Usage:
        """Exactly what one request for `prompt` costs: its tokens and one answered, no money."""
        return Usage(1, self._model.count_tokens(prompt.text), 1)

    expect = estimate

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Share of the words in some texts that the model does not know, punctuation aside."""
        return self._model.unknown_share(texts)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find unusable labels and too long prompts without a request.

        Raises
        ------
        DataError
            If a label is not one known word, two labels are the same word, or a prompt is longer
            than the model's context.
        """
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

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Probe:
        """Nothing to find out."""
        return Probe()

    def adopt(self, facts: Mapping[str, Any]) -> None:
        """Nothing to go by."""

    async def close(self) -> None:
        """Nothing to close."""

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt; none fails alone.

        Raises
        ------
        ModelError
            If a label is unusable or a prompt too long.
        """
        texts = [prompt.text for prompt in prompts]
        usages = [self.estimate(prompt) for prompt in prompts]
        with _explained():
            if self._feedback == "text":
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
    """First digits of the SHA-256 of the shipped weights."""
    weights = files("asyndbt.pocket") / "weights.npz"
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
