"""Requests to an endpoint: what shapes them, and their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from asyndbt.lm._base import Feedback, Prompt

FIELDS_OF_LENGTH: Final = ("max_tokens", "max_completion_tokens")
"""Fields for the most tokens of an answer; endpoints accept one or the other."""

_SYSTEM: Final = "Answer with one of these words and nothing else: {labels}."
_SEED: Final = 1
_VOTES: Final = 5
OWN_FIELDS: Final = frozenset(
    {"model", "messages", "n", "temperature", "logprobs", "top_logprobs", "stream"}
    | set(FIELDS_OF_LENGTH)
)
"""Fields of a request that have settings of their own."""


@dataclass(frozen=True)
class RequestOptions:
    """What shapes a request; fields as the keys of `OpenAIOptions`."""

    model: str
    feedback: Feedback = "logprobs"
    system: str | None = None
    votes: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        """Answers per request."""
        return (self.votes or _VOTES) if self.feedback == "votes" else 1


@dataclass(frozen=True)
class Capabilities:
    """What an endpoint accepts, as far as it changes requests.

    `logprobs` is the number of alternatives per token, 0 for none; `answer_tokens` the most tokens
    of an answer where the settings leave it open.
    """

    logprobs: int = 20
    system_role: bool = True
    seed: bool = True
    temperature: bool = True
    max_tokens_field: str = FIELDS_OF_LENGTH[0]
    answer_tokens: int = 8

    @classmethod
    def assumed(cls, request: RequestOptions, base_url: str | None) -> Capabilities:
        length = FIELDS_OF_LENGTH[base_url is None]
        if request.feedback == "logprobs":
            return cls(max_tokens_field=length)
        return cls(logprobs=0, max_tokens_field=length, answer_tokens=16)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], assumed: Capabilities) -> Capabilities:
        """Return the detected capabilities, and the rest as assumed.

        How many alternatives to ask for is ``logprobs_asked``; ``logprobs`` is how many came.
        """
        detected = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        detected["logprobs"] = facts.get("logprobs_asked", assumed.logprobs)
        return replace(assumed, **detected)

    def most_out(self, request: RequestOptions) -> int:
        """Most tokens of all answers to one request."""
        return (request.max_tokens or self.answer_tokens) * request.answers


def messages_of(
    request: RequestOptions, capabilities: Capabilities, prompt: Prompt, labels: Sequence[str]
) -> list[dict[str, str]]:
    r"""Chat messages of a request, the system message first.

    Examples
    --------
    >>> request, prompt = RequestOptions("m", system="One of {labels}!"), Prompt((), "1 + 1?")
    >>> messages_of(request, Capabilities(), prompt, ["two", "three"])[0]
    {'role': 'system', 'content': 'One of two, three!'}
    >>> messages_of(request, Capabilities(system_role=False), prompt, ["two", "three"])
    [{'role': 'user', 'content': 'One of two, three!\n\n1 + 1?'}]
    """
    template = _SYSTEM if request.system is None else request.system
    system, turns = template.replace("{labels}", ", ".join(labels)), prompt.messages
    if system and capabilities.system_role:
        turns = [{"role": "system", "content": system}, *turns]
    elif system:
        turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
    return [{**turn, "content": _sendable(turn["content"])} for turn in turns]


def _sendable(text: str) -> str:
    """Replace lone surrogates of a broken file, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def body_of(
    request: RequestOptions, capabilities: Capabilities, messages: Iterable[Mapping[str, str]]
) -> dict[str, Any]:
    """Body of a chat completion request.

    Examples
    --------
    >>> body = body_of(RequestOptions("m", "text"), Capabilities(logprobs=0, seed=False), [])
    >>> sorted(body)
    ['max_tokens', 'messages', 'model', 'temperature']
    """
    votes = request.feedback == "votes"
    body: dict[str, Any] = {
        "model": request.model,
        "messages": list(messages),
        capabilities.max_tokens_field: request.max_tokens or capabilities.answer_tokens,
    }
    if capabilities.temperature:
        given = request.temperature
        body["temperature"] = (1.0 if votes else 0.0) if given is None else given
    if capabilities.seed:
        body["seed"] = _SEED
    if capabilities.logprobs:
        body |= {"logprobs": True, "top_logprobs": capabilities.logprobs}
    if votes:
        body["n"] = request.answers
    return body | dict(request.extra_body)
