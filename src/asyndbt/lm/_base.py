"""What the package asks of a language model: prompts in, scores of the label words out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Answer", "LanguageModel", "Probe", "Prompt", "Usage"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, readable as plain text and as chat messages with the same content.

    Parameters
    ----------
    shots : tuple of (str, str)
        Demonstrations: the question block ending in ``Answer:`` and its label word.
    query : str
        The question block of the query, ending in ``Answer:``.

    Examples
    --------
    >>> prompt = Prompt((("Question: 1 + 1? Answer:", "two"),), "Question: 2 + 2? Answer:")
    >>> print(prompt.text)
    Question: 1 + 1? Answer: two
    Question: 2 + 2? Answer:
    >>> [message["role"] for message in prompt.messages]
    ['user', 'assistant', 'user']
    """

    shots: tuple[tuple[str, str], ...]
    query: str

    @property
    def text(self) -> str:
        """The prompt as one text, one example a line."""
        return "\n".join([*(f"{block} {label}" for block, label in self.shots), self.query])

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages, demonstrations as earlier turns."""
        turns = []
        for block, label in self.shots:
            turns += [{"role": "user", "content": block}, {"role": "assistant", "content": label}]
        return [*turns, {"role": "user", "content": self.query}]


@dataclass(frozen=True, slots=True)
class Usage:
    """What requests cost: requests, tokens, and money in the currency of the prices."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.money + other.money,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.calls - other.calls,
            self.tokens_in - other.tokens_in,
            self.tokens_out - other.tokens_out,
            self.money - other.money,
        )

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class Answer:
    """A language model's answer to one prompt.

    Parameters
    ----------
    label_log_probabilities : tuple of float or None
        Natural log of p(label word | prompt), one per label asked for, not renormalised;
        None from a model that gives text only.
    text : str or None
        The answer as text; None where only scores were asked for.
    usage : Usage
        What this answer cost when it was first paid for.
    refusal : str or None
        Why the provider will never answer this prompt (a content filter, a prompt that is too
        long), in one or two words without any of its text; there are no scores and no text then.
    """

    label_log_probabilities: tuple[float, ...] | None
    text: str | None
    usage: Usage
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a language model was found to be able to do.

    Parameters
    ----------
    facts : mapping
        By name; texts, numbers, true or false: it goes into a run's record, so nothing secret.
    usage : Usage
        What finding out cost, and at most may have cost where a reply was lost.
    sent : int
        Requests that were sent for it.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = Usage()
    sent: int = 0


class LanguageModel(Protocol):
    """A black box that scores label words or answers in text.

    Implementations: ``asyndbt.lm.PocketLanguageModel``, ``asyndbt.lm.OpenAILanguageModel``,
    ``asyndbt.lm.HuggingFaceLanguageModel``, ``asyndbt.lm.ScriptedLanguageModel``.
    """

    @property
    def name(self) -> str:
        """Identity for the cache and the record: provider, model, and whatever changes answers."""
        ...

    @property
    def batch(self) -> int:
        """Most prompts that are passed to one `score`."""
        ...

    @property
    def metered(self) -> bool:
        """Whether a request that was sent may have to be paid although its answer is lost."""
        ...

    @property
    def priced(self) -> bool:
        """Whether the money in its usages is what it costs, and not 0 for want of a price."""
        ...

    def estimate(self, prompt: Prompt) -> Usage:
        """Upper bound of what one request for `prompt` costs, before it is sent."""
        ...

    def expect(self, prompt: Prompt) -> Usage:
        """What one request for `prompt` will probably cost."""
        ...

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find out without a request what would make every request fail.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples of what will be sent, the longest among them; may be empty.
        labels : sequence of str
            The label words, in class order.

        Raises
        ------
        DataError
            If the model cannot use a label or tell two apart, or a prompt is too long for it; the
            text names the mend.
        """
        ...

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Probe:
        """Find out by a few requests what can be asked, and go by it from now on.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples of what will be sent, the longest among them; not empty.
        labels : sequence of str

        Raises
        ------
        ModelError
            If no request can succeed.
        ConfigError
            If it cannot do what its settings ask of it (feedback, labels); the text names the mend.
        """
        ...

    def adopt(self, facts: Mapping[str, Any]) -> None:
        """Go by what an earlier `probe` found."""
        ...

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt.

        Parameters
        ----------
        prompts : sequence of Prompt
            No more than `batch`.
        labels : sequence of str
            The label words to score, in class order.

        Returns
        -------
        list of Answer or None
            In the order of `prompts`; None where this one request failed.

        Raises
        ------
        RateLimitError, TransientError
            If the prompt may be sent again; only from a model whose `batch` is 1.
        ExampleError
            If this one cannot be answered as it is; likewise.
        ModelError
            If no request can succeed (key, model name, quota, unusable labels).
        """
        ...

    async def close(self) -> None:
        """Close connections; a closed model may be used again."""
        ...
