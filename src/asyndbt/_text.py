"""Helpers for error messages: what was found, and what was probably meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "listed", "nearest", "quoted", "shorten"]

_SHOWN = 12
_WIDTH = 60


def nearest(found: str, known: Iterable[str]) -> str | None:
    """Return the known name that `found` was probably meant to be, in whatever case."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(found.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def did_you_mean(found: str, known: Iterable[str], write: Callable[[str], str] = repr) -> str:
    """Return a hint at the nearest known name, or an empty string.

    Parameters
    ----------
    found : str
    known : iterable of str
    write : callable
        How the message writes a name.

    Examples
    --------
    >>> did_you_mean("lable", ["label", "text_a"])
    "; did you mean 'label'?"
    >>> did_you_mean("colour", ["label", "text_a"])
    ''
    """
    name = nearest(found, known)
    return "" if name is None else f"; did you mean {write(name)}?"


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


def quoted(name: str) -> str:
    """Return a name in double quotes, as TOML writes it."""
    return f'"{name}"'


def shorten(value: object) -> str:
    """Show a found value in at most one line.

    Examples
    --------
    >>> shorten(["a", 1])
    "['a', 1]"
    """
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
