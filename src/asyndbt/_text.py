"""Small helpers for error messages that say what was found and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "listed", "shorten"]

_SHOWN = 12
_WIDTH = 60


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, or an empty string.

    Examples
    --------
    >>> did_you_mean("lable", ["label", "text_a"])
    "; did you mean 'label'?"
    >>> did_you_mean("colour", ["label", "text_a"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(found.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names for a message, cut after a dozen.

    Examples
    --------
    >>> listed(["0", "1"])
    "'0', '1'"
    """
    all_names = list(names)
    shown = ", ".join(repr(name) for name in all_names[:_SHOWN])
    left = len(all_names) - _SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def shorten(value: object) -> str:
    """Show a found value in at most one line.

    Examples
    --------
    >>> shorten(["a", 1])
    "['a', 1]"
    """
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
