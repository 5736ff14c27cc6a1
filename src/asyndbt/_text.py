"""Formatting for people: names and values in messages, numbers on screen and in reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

_SHOWN = 12
_WIDTH = 60


def nearest(found: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to `found`, whatever its case, if any is."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(found.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def did_you_mean(found: str, known: Iterable[str], write: Callable[[str], str] = repr) -> str:
    """Return a hint at the nearest known name, formatted by `write`, or an empty string.

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
    """Return names for a message, at most a dozen of them.

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
    """Return the `repr` of a value, cut to part of a line."""
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def as_text(value: object) -> str:
    """Return a value of a JSON file that has to be a text, or raise TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"found {shorten(value)} in place of a text")
    return value


def as_texts(values: object) -> tuple[str, ...]:
    """Return a value of a JSON file that has to be a list of texts, or raise TypeError."""
    if not isinstance(values, list):
        raise TypeError(f"found {shorten(values)} in place of a list")
    return tuple(as_text(value) for value in values)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "site"), counted(1200, "call"), counted(2, "entry", "entries")
    ('1 site', '1,200 calls', '2 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def part_of(number: int, whole: int | None) -> str:
    """Return a number, with the whole where it is more.

    Examples
    --------
    >>> part_of(85, 1240), part_of(85, 85), part_of(85, None)
    ('85 of 1,240', '85', '85')
    """
    return f"{number:,} of {whole:,}" if whole and whole > number else f"{number:,}"


def percent(share: float, digits: int = 1) -> str:
    """Format a share in percent.

    Examples
    --------
    >>> percent(0.8749), percent(0.5, 0)
    ('87.5 %', '50 %')
    """
    return f"{100 * share:.{digits}f} %"


def percent_range(ends: Sequence[float], between: str = ", ") -> str:
    """Format the two ends of an interval of shares in percent, without the sign.

    Examples
    --------
    >>> percent_range([0.8, 0.92]), percent_range([0.8256, 0.9448], "–")
    ('80.0, 92.0', '82.6–94.5')
    """
    low, high = ends
    return f"{100 * low:.1f}{between}{100 * high:.1f}"


def duration(seconds: float, digits: int = 0) -> str:
    """Format a duration; `digits` are the decimals below ten seconds.

    Examples
    --------
    >>> duration(0.25, 1), duration(59.2), duration(125), duration(7384)
    ('0.2 s', '59 s', '2 min 05 s', '2 h 03 min')
    """
    if seconds < 10:
        return f"{max(0.0, seconds):.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def untested_text(result: Mapping[str, Any]) -> str:
    """Return why there is no accuracy in the content of a ``result.json``."""
    if "privacy" in result:
        return (
            "No accuracy is known here: with federation.privacy each site keeps its scores, in its "
            "own result.json."
        )
    return "No accuracy was measured: there is no test data (data.test)."
