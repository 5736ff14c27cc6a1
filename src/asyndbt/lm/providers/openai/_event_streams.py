"""Event streams, which some endpoints send although none was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_TEXTS: Final = ("content", "reasoning_content", "reasoning", "refusal", "text")
_LOGPROBS: Final = ("content", "tokens", "token_logprobs", "top_logprobs")


class CutStreamError(ValueError):
    """A stream ended before the answer did."""


def is_stream(body: str) -> bool:
    """Whether a body is an event stream."""
    return body.lstrip("\ufeff \r\n").startswith(("data:", "event:", "id:", "retry:", ":"))


def assembled(body: str) -> dict[str, Any]:
    r"""Return the reply that the events of a stream make up; raises CutStreamError without an end.

    Examples
    --------
    >>> chunk = '{"choices": [{"index": 0, "delta": {"content": "great"}}]}'
    >>> assembled(f"data: {chunk}\n\ndata: [DONE]\n\n")["choices"][0]["message"]
    {'content': 'great'}
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    ended = False
    for data in _events(body):
        if data == "[DONE]":
            ended = True
            continue
        chunk = json.loads(data)
        if not isinstance(chunk, dict):
            raise ValueError("an event of another shape")
        parts = chunk.pop("choices", None) or ()
        whole |= {name: value for name, value in chunk.items() if value is not None}
        for place, part in enumerate(parts):
            choice = choices.setdefault(part.get("index", place), {})
            _extend(choice, part)
            ended = ended or bool(choice.get("finish_reason"))
    if not ended and "error" not in whole:
        raise CutStreamError("no end")
    return whole | {"choices": [choices[index] for index in sorted(choices)]}


def _events(body: str) -> Iterator[str]:
    """Yield the data of every event."""
    lines: list[str] = []
    for line in [*body.splitlines(), ""]:
        if line.startswith("data:"):
            lines.append(line.removeprefix("data:").removeprefix(" "))
        elif not line.strip() and lines:
            yield "\n".join(lines)
            lines = []


def _extend(choice: dict[str, Any], part: Mapping[str, Any]) -> None:
    delta = part.get("delta") or part.get("message")
    if delta:
        _join(choice.setdefault("message", {}), delta, _TEXTS)
    if part.get("logprobs"):
        _join(choice.setdefault("logprobs", {}), part["logprobs"], _LOGPROBS)
    _join(choice, part, ("text",))
    choice |= {name: part[name] for name in ("finish_reason", "error") if part.get(name)}


def _join(whole: dict[str, Any], part: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if part.get(name) is not None:
            whole[name] = whole[name] + part[name] if name in whole else part[name]
