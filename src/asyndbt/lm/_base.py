"""What the package asks of a language model: prompts in, scores of the label words out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import ValidationError

from asyndbt._section import Section, SettingError
from asyndbt._text import did_you_mean
from asyndbt.errors import ConfigError

T = TypeVar("T")
Feedback = Literal["logprobs", "votes", "text"]


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
class Request(Generic[T]):
    """A request that finds something out, and answers no prompt.

    Parameters
    ----------
    call : callable
        Sends it once and returns the reply and what it cost; raises what `LanguageModel.score`
        does.
    bound : Usage
        The most that it may cost.
    tokens : int
        Tokens that it probably takes.
    """

    call: Callable[[], Awaitable[tuple[T, Usage]]]
    bound: Usage
    tokens: int


class Send(Protocol):
    """Sends requests as all others are sent: limited, sent again, charged and counted."""

    async def __call__(self, request: Request[T], /) -> T:
        """Return the reply.

        Raises
        ------
        BudgetExhausted
            If the request might exceed the budget.
        ExampleError
            If it is turned down as it is; another form of it may be answered.
        ModelError
            If there is no reply after all.
        """
        ...


class LanguageModel(ABC):
    """A black box that scores label words or answers in text.

    A provider is a subclass in a module of `asyndbt.lm.providers`, or of an installed package that
    names it in the entry-point group ``asyndbt.providers``. It needs `name`, `score` and
    `max_usage`; everything else has a default, that of a model on this machine.

    Parameters
    ----------
    feedback : {"logprobs", "votes", "text"}
        One of the class's own `feedbacks`.
    **options
        Keys of the class's own `Options`.

    Attributes
    ----------
    feedback : {"logprobs", "votes", "text"}
    options : Section
        An instance of `Options`.

    Raises
    ------
    ConfigError
        If an option is unknown, missing or out of range, or the provider does not give the
        feedback.
    """

    provider: ClassVar[str]
    """What ``lm.provider`` calls it."""

    feedbacks: ClassVar[tuple[Feedback, ...]] = ("logprobs",)
    """What an answer can give, the default first."""

    Options: ClassVar[type[Section]] = Section
    """Keys of [lm] that only this provider reads; none unless a subclass has its own."""

    caveat: ClassVar[str] = ""
    """What a report on its figures has to say of it."""

    batch: int = 1
    """Most prompts that are passed to one `score`."""

    is_remote: bool = False
    """Whether others compute: requests are paced and sent again, and may have to be paid although
    their answer is lost."""

    def __init__(self, feedback: Feedback | None = None, **options: Any) -> None:
        self.feedback = self.feedbacks[0] if feedback is None else feedback
        if self.feedback not in self.feedbacks:
            choices = " and ".join(map(repr, self.feedbacks))
            raise ConfigError(f"feedback = {feedback!r}: the choices are {choices}")
        try:
            context = {"feedback": self.feedback}
            self.options: Section = self.Options.model_validate(options, context=context)
        except ValidationError as error:
            text = "; ".join(_problems(type(self), error))
        else:
            return
        # Raised here, not above: its context would hold the values that were given.
        raise ConfigError(text)

    @property
    @abstractmethod
    def name(self) -> str:
        """Identity for the cache and the record: provider, model, and whatever changes answers."""

    @abstractmethod
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
            If the prompt may be sent again; only from a model that is remote.
        ExampleError
            If this one cannot be answered as it is; likewise.
        ModelError
            If no request can succeed (key, model name, quota, unusable labels).
        """

    @abstractmethod
    def max_usage(self, prompt: Prompt) -> Usage:
        """Upper bound of what one request for `prompt` costs, before it is sent."""

    def expected_usage(self, prompt: Prompt) -> Usage:
        """What one request for `prompt` will probably cost."""
        return self.max_usage(prompt)

    @property
    def has_prices(self) -> bool:
        """Whether the money in its usages is what it costs, and not 0 for want of a price."""
        return True

    def check(  # noqa: B027
        self, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> None:
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
            text names the remedy.
        """

    def warnings(self, texts: Sequence[Sequence[str]]) -> Sequence[str]:
        """Return what the user should know before paying.

        Parameters
        ----------
        texts : sequence of sequences of str
            Texts of the examples, by site.
        """
        return ()

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        """Find out by a few requests what can be asked, and go by it from now on.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples of what will be sent, the longest among them; not empty.
        labels : sequence of str
        send : Send
            The only way to the provider.

        Returns
        -------
        mapping
            What was found, by name; texts, numbers, true or false. It goes into a run's record, so
            nothing secret.

        Raises
        ------
        ModelError
            If no request can succeed.
        ConfigError
            If it cannot do what its settings ask of it (feedback, labels); the text names the
            remedy.
        """
        return {}

    def restore_capabilities(self, facts: Mapping[str, Any]) -> None:  # noqa: B027
        """Go by what an earlier `detect_capabilities` found."""

    async def close(self) -> None:  # noqa: B027
        """Close connections; a closed model may be used again."""


def _problems(model: type[LanguageModel], error: ValidationError) -> list[str]:
    """Say what is wrong with options, without repeating a value, which may be secret."""
    problems = []
    for details in error.errors(include_url=False, include_input=False):
        name, raised = ".".join(map(str, details["loc"])), details.get("ctx", {}).get("error")
        if details["type"] == "extra_forbidden":
            known = ["feedback", *model.Options.all_keys()]
            hint = did_you_mean(name, known) or f"; there are: {', '.join(sorted(known))}"
            problems.append(f"provider {model.provider!r} has no option {name!r}{hint}")
        elif details["type"] == "missing":
            problems.append(f"{name} is missing: provider {model.provider!r} needs it")
        elif isinstance(raised, SettingError):
            problems.append(f"{name or raised.key} {raised.text}")
        else:
            problems.append(f"{name} {details['msg'].removeprefix('Input ')}")
    return problems
