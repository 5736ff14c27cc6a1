"""Chat completions: bodies of requests, and parsed replies."""

from __future__ import annotations

import json
import math
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


_FILTERED: Final = ("content_filter", "refusal", "safety", "sensitive")
"""Finish reasons of refused answers; some endpoints append details."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer with its alternatives: the most probable tokens in its place.

    A piece is UTF-8, perhaps part of a character; log-probabilities are natural logarithms.
    """

    piece: bytes
    log_probability: float
    alternatives: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of a reply, without reasoning; `tokens` is None without log-probabilities."""

    text: str
    cut: bool
    filtered: bool
    tokens: tuple[Token, ...] | None

    @property
    def thinking(self) -> bool:
        """Whether the reply was truncated while still reasoning."""
        return self.cut and (not self.text.strip() or self.text.lstrip().startswith("<think>"))


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion; the counts are None where the endpoint gives none."""

    choices: tuple[Choice, ...]
    tokens_in: int | None
    tokens_out: int | None
    model: str


def read_reply(body: str) -> Completion:
    """Parse the body of a chat completion; raises ValueError if it is none.

    Examples
    --------
    >>> reply = read_reply('{"choices": [{"message": {"content": "great"}}]}')
    >>> reply.choices[0].text, reply.tokens_in
    ('great', None)
    """
    data = json.loads(body)
    if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
        raise ValueError("not a chat completion")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    try:
        choices = tuple(map(_choice, data["choices"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a chat completion") from error
    return Completion(
        choices,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        str(data.get("model") or ""),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _choice(data: Mapping[str, Any]) -> Choice:
    message, reason = data["message"], str(data.get("finish_reason") or "").lower()
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    scored = (data.get("logprobs") or {}).get("content")
    return Choice(
        content.rpartition("</think>")[2],
        reason == "length",
        bool(message.get("refusal")) or reason.startswith(_FILTERED),
        None if scored is None else tuple(map(_token, scored)),
    )


def _token(data: Mapping[str, Any]) -> Token:
    return Token(*_piece(data), tuple(map(_piece, data.get("top_logprobs") or ())))


def _piece(data: Mapping[str, Any]) -> tuple[bytes, float]:
    given = data.get("bytes")
    piece = data["token"].encode("utf-8", "replace") if given is None else bytes(given)
    log_probability = float(data["logprob"])
    return piece, -math.inf if math.isnan(log_probability) else min(log_probability, 0.0)
