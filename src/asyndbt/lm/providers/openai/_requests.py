"""Requests to an endpoint: what shapes them, and their bodies, as chat or as text to continue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Final, Literal

from asyndbt.lm._base import Feedback, Prompt

ApiName = Literal["chat", "completions"]

_SYSTEM: Final = "Answer with one of these words and nothing else: {labels}."
_SYSTEM_WITHOUT_LABELS: Final = "Give the answer and nothing else."
_SEED: Final = 1
_VOTES: Final = 5
OWN_FIELDS: Final = frozenset(
    {"model", "messages", "prompt", "n", "temperature", "logprobs", "top_logprobs", "stream"}
    | {"max_tokens", "max_completion_tokens"}
)
"""Fields of a request that have settings of their own."""


@dataclass(frozen=True)
class RequestOptions:
    """What shapes a request; fields as the keys of `OpenAIOptions`."""

    model: str
    feedback: Feedback = "logprobs"
    api: ApiName = "chat"
    system: str | None = None
    votes: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        """Answers per request."""
        return (self.votes or _VOTES) if self.feedback == "votes" else 1

    @property
    def form(self) -> Api:
        """How prompts are put to the endpoint."""
        return _APIS[self.api]

    def writing(self, most_tokens: int) -> RequestOptions:
        """Return what shapes a request for a text of so many tokens: no system message on labels.

        A model that thinks first has at least the room that it has for other answers.
        """
        room = max(most_tokens, self.max_tokens or 0)
        return replace(self, feedback="text", system="", votes=None, max_tokens=room)


@dataclass(frozen=True)
class Capabilities:
    """What an endpoint accepts, as far as it changes requests.

    `logprobs` is the number of alternatives per token, 0 for none; `answer_tokens` the most tokens
    of an answer where the settings leave it open, and `least_tokens` the fewest that may be asked
    for.  With `open_thought` its template opens a thought, so that a reply may begin within one.
    """

    logprobs: int = 20
    system_role: bool = True
    seed: bool = True
    temperature: bool = True
    max_tokens_field: str = "max_tokens"
    answer_tokens: int = 8
    least_tokens: int = 1
    open_thought: bool = False

    @classmethod
    def assumed(cls, request: RequestOptions, base_url: str | None) -> Capabilities:
        form = request.form
        length = form.length_fields[-1 if base_url is None else 0]
        common = cls(system_role=form.has_roles, max_tokens_field=length)
        if request.feedback == "logprobs":
            return common
        return replace(common, logprobs=0, answer_tokens=16)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], assumed: Capabilities) -> Capabilities:
        """Return the detected capabilities, and the rest as assumed.

        How many alternatives to ask for is ``logprobs_asked``; ``logprobs`` is how many came.
        """
        detected = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        detected["logprobs"] = facts.get("logprobs_asked", assumed.logprobs)
        return replace(assumed, **detected)

    def most_tokens(self, request: RequestOptions) -> int:
        """Most tokens of one answer."""
        return max(request.max_tokens or self.answer_tokens, self.least_tokens)

    def most_out(self, request: RequestOptions) -> int:
        """Most tokens of all answers to one request."""
        return self.most_tokens(request) * request.answers


class Api(ABC):
    """A way to put prompts to an endpoint."""

    path: ClassVar[str]
    """Of its requests, below the endpoint's address."""

    length_fields: ClassVar[tuple[str, ...]]
    """Fields for the most tokens of an answer; an endpoint accepts one of them."""

    has_roles: ClassVar[bool]
    """Whether there is a system message."""

    stop: ClassVar[tuple[str, ...]]
    """Texts at which an answer in words ends."""

    @abstractmethod
    def content(
        self,
        request: RequestOptions,
        capabilities: Capabilities,
        prompt: Prompt,
        labels: Sequence[str],
    ) -> dict[str, Any]:
        """Return the fields that hold a prompt."""

    @abstractmethod
    def repetition(self, label: str) -> dict[str, Any]:
        """Return the fields that let a model repeat a label as an answer."""

    @abstractmethod
    def alternatives(self, count: int) -> dict[str, Any]:
        """Return the fields that ask for log-probabilities, `count` for each token."""


class Chat(Api):
    r"""Messages, for a model that was trained to answer them.

    Examples
    --------
    >>> request, prompt = RequestOptions("m", system="One of {labels}!"), Prompt((), "1 + 1?")
    >>> Chat().content(request, Capabilities(), prompt, ["two", "three"])["messages"][0]
    {'role': 'system', 'content': 'One of two, three!'}
    >>> Chat().content(request, Capabilities(system_role=False), prompt, ["two", "three"])
    {'messages': [{'role': 'user', 'content': 'One of two, three!\n\n1 + 1?'}]}
    """

    path = "/chat/completions"
    length_fields = ("max_tokens", "max_completion_tokens")
    has_roles = True
    stop = ()

    def content(
        self,
        request: RequestOptions,
        capabilities: Capabilities,
        prompt: Prompt,
        labels: Sequence[str],
    ) -> dict[str, Any]:
        usual = _SYSTEM if labels else _SYSTEM_WITHOUT_LABELS
        template = usual if request.system is None else request.system
        system, turns = template.replace("{labels}", ", ".join(labels)), prompt.messages
        if system and capabilities.system_role:
            turns = [{"role": "system", "content": system}, *turns]
        elif system:
            turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
        return {"messages": [{**turn, "content": _sendable(turn["content"])} for turn in turns]}

    def repetition(self, label: str) -> dict[str, Any]:
        text = f"Repeat this and nothing else: {label}"
        return {"messages": [{"role": "user", "content": text}]}

    def alternatives(self, count: int) -> dict[str, Any]:
        return {"logprobs": True, "top_logprobs": count}


class Completions(Api):
    r"""One text that the model continues, as base models do.

    Examples
    --------
    >>> prompt = Prompt((("1 + 1? Answer:", "two"),), "1 + 2? Answer:")
    >>> Completions().content(RequestOptions("m"), Capabilities(), prompt, ["two", "three"])
    {'prompt': '1 + 1? Answer: two\n1 + 2? Answer:'}
    """

    path = "/completions"
    length_fields = ("max_tokens",)
    has_roles = False
    # A base model that has answered goes on with the next question.
    stop = ("\n",)

    def content(
        self,
        request: RequestOptions,
        capabilities: Capabilities,
        prompt: Prompt,
        labels: Sequence[str],
    ) -> dict[str, Any]:
        return {"prompt": _sendable(prompt.text)}

    def repetition(self, label: str) -> dict[str, Any]:
        return {"prompt": f"Answer: {label}\nAnswer: {label}\nAnswer:"}

    def alternatives(self, count: int) -> dict[str, Any]:
        return {"logprobs": count}


_APIS: Final[Mapping[ApiName, Api]] = {"chat": Chat(), "completions": Completions()}


def _sendable(text: str) -> str:
    """Replace lone surrogates of a broken file, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def body_of(
    request: RequestOptions,
    capabilities: Capabilities,
    content: Mapping[str, Any],
    *,
    lines: bool = False,
) -> dict[str, Any]:
    """Body of a request, with the fields that `Api.content` returned.

    With `lines`, an answer in words may have several.

    Examples
    --------
    >>> body = body_of(RequestOptions("m", "text"), Capabilities(logprobs=0, seed=False), {})
    >>> sorted(body)
    ['max_tokens', 'model', 'temperature']
    """
    votes, form = request.feedback == "votes", request.form
    body: dict[str, Any] = {
        "model": request.model,
        **content,
        capabilities.max_tokens_field: capabilities.most_tokens(request),
    }
    if capabilities.temperature:
        given = request.temperature
        body["temperature"] = (1.0 if votes else 0.0) if given is None else given
    if capabilities.seed:
        body["seed"] = _SEED
    if capabilities.logprobs:
        body |= form.alternatives(capabilities.logprobs)
    elif form.stop and not lines:
        body["stop"] = list(form.stop)
    if votes:
        body["n"] = request.answers
    return body | dict(request.extra_body)
