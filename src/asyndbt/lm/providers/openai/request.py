"""From settings, what the endpoint can do, and a prompt to the body of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from asyndbt.errors import ConfigError
from asyndbt.lm.protocol import Prompt

__all__ = ["FIELDS_OF_LENGTH", "Abilities", "Feedback", "Settings", "body_of", "messages_of"]

Feedback = Literal["logprobs", "votes", "text"]

FIELDS_OF_LENGTH: Final = ("max_tokens", "max_completion_tokens")
"""Names under which endpoints want the most tokens of an answer."""

_SYSTEM: Final = "Answer with one of these words and nothing else: {labels}."
_SEED: Final = 1
_VOTES: Final = 5
_OWN_FIELDS: Final = frozenset(
    {"model", "messages", "n", "temperature", "logprobs", "top_logprobs", "stream"}
    | set(FIELDS_OF_LENGTH)
)


@dataclass(frozen=True)
class Settings:
    """What the user decided; parameters as for `OpenAILanguageModel`.

    Raises
    ------
    ConfigError
        If there is no such feedback, or a field of `extra_body` has a setting of its own.
    """

    model: str
    feedback: Feedback = "logprobs"
    system: str | None = None
    votes: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.feedback not in ("logprobs", "votes", "text"):
            raise ConfigError(
                f"feedback = {self.feedback!r}: the choices are 'logprobs', 'votes' and 'text'"
            )
        taken = sorted(_OWN_FIELDS & set(self.extra_body))
        if taken:
            raise ConfigError(f"extra_body: {', '.join(taken)} cannot be set there; remove it")

    @property
    def answers(self) -> int:
        """How many answers a request asks for."""
        return (self.votes or _VOTES) if self.feedback == "votes" else 1


@dataclass(frozen=True)
class Abilities:
    """What an endpoint was found to accept, as far as it changes requests.

    Parameters
    ----------
    logprobs : int
        Alternatives per token that it tells; 0 where none are asked for.
    system_role, seed, temperature : bool
        Whether it takes these.
    max_tokens_field : {"max_tokens", "max_completion_tokens"}
    answer_tokens : int
        Most tokens of an answer, where the settings leave this open.
    """

    logprobs: int = 20
    system_role: bool = True
    seed: bool = True
    temperature: bool = True
    max_tokens_field: str = FIELDS_OF_LENGTH[0]
    answer_tokens: int = 8

    @classmethod
    def assumed(cls, settings: Settings, base_url: str | None) -> Abilities:
        """What holds before anything was found out."""
        length = FIELDS_OF_LENGTH[base_url is None]
        if settings.feedback == "logprobs":
            return cls(max_tokens_field=length)
        return cls(logprobs=0, max_tokens_field=length, answer_tokens=16)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], assumed: Abilities) -> Abilities:
        """Take what `facts` say, and the rest as assumed.

        How many alternatives to ask for is ``logprobs_asked``; ``logprobs`` is how many came.
        """
        told = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        told["logprobs"] = facts.get("logprobs_asked", assumed.logprobs)
        return replace(assumed, **told)

    def most_out(self, settings: Settings) -> int:
        """Most tokens of all answers to one request."""
        return (settings.max_tokens or self.answer_tokens) * settings.answers


def messages_of(
    settings: Settings, abilities: Abilities, prompt: Prompt, labels: Sequence[str]
) -> list[dict[str, str]]:
    r"""Chat messages of a request, the system message first.

    Examples
    --------
    >>> settings, prompt = Settings("m", system="One of {labels}!"), Prompt((), "1 + 1?")
    >>> messages_of(settings, Abilities(), prompt, ["two", "three"])[0]
    {'role': 'system', 'content': 'One of two, three!'}
    >>> messages_of(settings, Abilities(system_role=False), prompt, ["two", "three"])
    [{'role': 'user', 'content': 'One of two, three!\n\n1 + 1?'}]
    """
    template = _SYSTEM if settings.system is None else settings.system
    system, turns = template.replace("{labels}", ", ".join(labels)), prompt.messages
    if system and abilities.system_role:
        turns = [{"role": "system", "content": system}, *turns]
    elif system:
        turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
    return [{**turn, "content": _sendable(turn["content"])} for turn in turns]


def _sendable(text: str) -> str:
    """Replace the lone surrogates that a broken file may hold: UTF-8 has none."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def body_of(
    settings: Settings, abilities: Abilities, messages: Iterable[Mapping[str, str]]
) -> dict[str, Any]:
    """Body of a chat completion request.

    Examples
    --------
    >>> body = body_of(Settings("m", "text"), Abilities(logprobs=0, seed=False), [])
    >>> sorted(body)
    ['max_tokens', 'messages', 'model', 'temperature']
    """
    votes = settings.feedback == "votes"
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": list(messages),
        abilities.max_tokens_field: settings.max_tokens or abilities.answer_tokens,
    }
    if abilities.temperature:
        given = settings.temperature
        body["temperature"] = (1.0 if votes else 0.0) if given is None else given
    if abilities.seed:
        body["seed"] = _SEED
    if abilities.logprobs:
        body |= {"logprobs": True, "top_logprobs": abilities.logprobs}
    if votes:
        body["n"] = settings.answers
    return body | dict(settings.extra_body)
