"""The interface of a language model: prompts in, scores of the label words or texts out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

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
    most_tokens : int, optional
        Where a text of several lines is asked for, by a model that `writes`: most tokens of it.

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
    most_tokens: int | None = None

    @property
    def text(self) -> str:
        return "\n".join([*(f"{block} {label}" for block, label in self.shots), self.query])

    @property
    def messages(self) -> list[dict[str, str]]:
        turns = []
        for block, label in self.shots:
            turns += [{"role": "user", "content": block}, {"role": "assistant", "content": label}]
        return [*turns, {"role": "user", "content": self.query}]


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests, tokens, and money in the currency of the prices."""

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
        return self + Usage(-other.calls, -other.tokens_in, -other.tokens_out, -other.money)

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class Answer:
    """A language model's answer to one prompt.

    Parameters
    ----------
    label_log_probabilities : tuple of float or None
        Natural log of p(label word | prompt), one per label, not renormalised; None for a text
        only.
    text : str or None
        None where only scores were asked for.
    usage : Usage
        Cost when the answer was first paid for.
    refusal : str or None
        Why the provider will never answer this prompt (a content filter, a prompt that is too
        long), without any of its text; there are no scores and no text then.
    """

    label_log_probabilities: tuple[float, ...] | None
    text: str | None
    usage: Usage
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A request that answers no prompt, such as one that probes an endpoint.

    `call` sends it once and returns the reply and its cost, or raises what `LanguageModel.score`
    does; `bound` is the most that it costs, `tokens` the number expected.
    """

    call: Callable[[], Awaitable[tuple[T, Usage]]]
    bound: Usage
    tokens: int


class Send(Protocol):
    """Sends requests as the gateway sends prompts: limited, retried, charged and counted."""

    async def __call__(self, request: Request[T], /) -> T:
        """Return the reply.

        Raises
        ------
        BudgetExhausted
            If the request might exceed the budget.
        ExampleError
            If it is rejected in this form; another form may be accepted.
        ModelError
            If there is no reply.
        """
        ...


class LanguageModel(ABC):
    """A black box that scores label words or answers in text.

    A provider is a subclass in a module of `asyndbt.lm.providers`, or of an installed package that
    names it in the entry-point group ``asyndbt.providers``. It needs `name`, `score` and
    `max_usage`; the defaults of the rest suit a model on this machine.

    Parameters
    ----------
    feedback : {"logprobs", "votes", "text"}
        One of the class's `feedbacks`.
    **options
        Keys of the class's `Options`.

    Raises
    ------
    ConfigError
        If an option is unknown, missing or out of range, or the provider does not give the
        feedback.
    """

    provider: ClassVar[str]
    """What ``lm.provider`` calls it."""

    feedbacks: ClassVar[tuple[Feedback, ...]] = ("logprobs",)
    """Feedback that the provider can give, the default first."""

    Options: ClassVar[type[Section]] = Section
    """Keys of [lm] that only this provider reads; none unless a subclass has its own."""

    caveat: ClassVar[str] = ""
    """Remark on the model in reports on its figures."""

    batch: int = 1
    """Most prompts that are passed to one `score`."""

    is_remote: bool = False
    """Whether prompts leave this process: requests are limited and retried, and may be charged
    although their answer is lost."""

    writes: bool = False
    """Whether it answers a prompt that has `Prompt.most_tokens` with a text, whatever the feedback
    for others; such prompts come without labels, and apart from others."""

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the model itself: whoever copies what holds it shares its weights."""
        return self

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
            Label words in class order; none where answers are in words of the model's own.

        Returns
        -------
        list of Answer or None
            In the order of `prompts`; None where this one request failed.

        Raises
        ------
        RateLimitError, TransientError
            If the prompt may be sent again; remote models only.
        ExampleError
            If this prompt is rejected in this form; remote models only.
        ModelError
            If no request can succeed (key, model name, quota, unusable labels).
        """

    @abstractmethod
    def max_usage(self, prompt: Prompt) -> Usage:
        """Upper bound of what one request for `prompt` costs, before it is sent."""

    def expected_usage(self, prompt: Prompt) -> Usage:
        """Expected cost of one request for `prompt`."""
        return self.max_usage(prompt)

    @property
    def kind(self) -> type[LanguageModel]:
        """The class that says how prompts are sent: `messages` is its own."""
        return type(self)

    @classmethod
    def messages(
        cls, options: Section, facts: Mapping[str, Any], prompt: Prompt, labels: Sequence[str]
    ) -> list[dict[str, str]] | None:
        """Return the chat messages that `prompt` is sent as; None where it is sent as one text.

        Parameters
        ----------
        options : Section
            An instance of `Options`.
        facts : mapping
            What `detect_capabilities` returned.
        prompt : Prompt
        labels : sequence of str
            Label words in class order.
        """
        return None

    @property
    def has_prices(self) -> bool:
        """Whether usages have real prices; without, their money is 0."""
        return True

    def check(  # noqa: B027
        self, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> None:
        """Check labels and prompts without a request.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples, including the longest; may be empty.
        labels : sequence of str
            Label words in class order; none where answers are in words of the model's own.

        Raises
        ------
        DataError
            If the model cannot use a label or tell two apart, cannot answer without labels, or a
            prompt is too long for it; the text names the remedy.
        """

    def warnings(
        self, texts: Sequence[Sequence[str]], vocabulary: Sequence[str] = ()
    ) -> Sequence[str]:
        """Return what the user should know before paying.

        Parameters
        ----------
        texts : sequence of sequence of str
            The examples' texts by site. None of them may stand in a warning.
        vocabulary : sequence of str
            Entries that the fragment is made of; none if it is not tuned.
        """
        return ()

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        """Find out by a few requests what the model can do, and use it from now on.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples, including the longest; not empty.
        labels : sequence of str
        send : Send
            The only way to the provider.

        Returns
        -------
        mapping
            What was found, as texts, numbers or booleans by name; recorded with the run, so nothing
            secret.

        Raises
        ------
        ModelError
            If no request can succeed.
        ConfigError
            If it cannot do what its settings require (feedback, labels); the text names the
            remedy.
        """
        return {}

    def restore_capabilities(self, facts: Mapping[str, Any]) -> None:  # noqa: B027
        """Use what an earlier `detect_capabilities` found."""

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
