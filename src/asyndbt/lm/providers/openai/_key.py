"""API keys, kept out of every text."""

from __future__ import annotations

import os
import re
from typing import Final, Self

from asyndbt.errors import ModelError

_MASK: Final = "[key]"
_TELLING: Final = 8
"""Consecutive characters of a key that are secret themselves."""


class ApiKey:
    """A key that is shown to the HTTP client alone.

    Without a value, `problem` is the reason why a required key is missing; for an endpoint that
    requires none, a placeholder is sent.

    Examples
    --------
    >>> key = ApiKey("sk-abcdefghijkl")
    >>> key.redact("Incorrect API key provided: sk-ab**jkl. It was cdefghijk!")
    'Incorrect API key provided: [key] It was [key]!'
    >>> key
    ApiKey([key])
    """

    def __init__(self, value: str | None = None, problem: str = "") -> None:
        self._value, self._problem = value, problem

    @classmethod
    def from_environment(cls, variable: str) -> Self:
        """Read a key; a missing or unusable one is an error only when a request needs it."""
        value = os.environ.get(variable, "").strip()
        if value and value.isascii() and value.isprintable():
            return cls(value)
        if not value:
            return cls(None, f"the environment variable {variable} is not set: export the key")
        return cls(
            None,
            f"the environment variable {variable} holds characters that no key has: set it again",
        )

    def check(self) -> None:
        """Raise ModelError if a required key is missing."""
        if self._problem:
            raise ModelError(self._problem, provider="openai")

    def reveal(self) -> str:
        """Return what is sent to the endpoint; raise as `check` does."""
        self.check()
        return self._value or "none"

    def redact(self, text: str) -> str:
        """Replace the key in a text: whole, in parts of 8 characters or more, or masked."""
        if not self._value:
            return text
        text = text.replace(self._value, _MASK)
        masked = rf"{re.escape(self._value[:2])}[^\s\"']*(?:\*{{2}}|\.{{2}}|…)[^\s\"']*"
        return self._without_parts(re.sub(masked, _MASK, text))

    def _without_parts(self, text: str) -> str:
        key, starts = self._value or "", range(len(text) - _TELLING + 1)
        secret = [False] * len(text)
        for start in starts:
            if text[start : start + _TELLING] in key:
                secret[start : start + _TELLING] = [True] * _TELLING
        pieces = []
        for index, character in enumerate(text):
            if not secret[index]:
                pieces.append(character)
            elif index == 0 or not secret[index - 1]:
                pieces.append(_MASK)
        return "".join(pieces)

    def __repr__(self) -> str:
        return f"ApiKey({_MASK})"
