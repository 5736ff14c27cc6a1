"""The secret that opens an endpoint, and keeping it out of every text."""

from __future__ import annotations

import os
import re
from typing import Final, Self

from asyndbt.errors import ModelError

_MASK: Final = "[key]"
_TELLING: Final = 8
"""So many characters of a key in a row are a secret of their own."""


class ApiKey:
    """A key that shows itself to nothing but the client that sends it.

    Parameters
    ----------
    value : str or None
        None for an endpoint that wants no key: a placeholder is sent.
    problem : str, optional
        Why there is no key where one is wanted.

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
        """Read a key from an environment variable.

        One that is not set, is empty, or holds what no header can carry is no error before the
        key is needed: what a run will cost can be estimated without.
        """
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
        """Find out before the first request that there is no key.

        Raises
        ------
        ModelError
            If one is wanted.
        """
        if self._problem:
            raise ModelError(self._problem, provider="openai")

    def reveal(self) -> str:
        """Return what is sent to the endpoint; raises what `check` does."""
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
