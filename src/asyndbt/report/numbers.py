"""How numbers are written in a report, each with its exact value beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyndbt.report.html import Html, join, tag

__all__ = ["accuracy", "count", "exact", "interval", "percent", "seconds", "size", "some", "tidy"]

_SPACE = "\N{NO-BREAK SPACE}"


def exact(value: float, shown: str) -> Html:
    """Return a number as shown, with its exact value for machines."""
    return tag("data", shown, value=f"{value:.12g}")


def percent(share: float, digits: int = 1) -> str:
    """Write a share.

    Examples
    --------
    >>> percent(0.8749).replace(chr(160), " ")
    '87.5 %'
    """
    return f"{100 * share:.{digits}f}{_SPACE}%"


def interval(score: Mapping[str, Any]) -> str:
    """Write the 95 % interval of a score, in percent.

    Examples
    --------
    >>> interval({"accuracy": 0.9, "interval": [0.8256, 0.9448]})
    '82.6–94.5'
    """
    low, high = score["interval"]
    return f"{100 * low:.1f}–{100 * high:.1f}"


def accuracy(score: Mapping[str, Any]) -> Html:
    """Return an accuracy with its interval."""
    shown = exact(score["accuracy"], percent(score["accuracy"]))
    return join([shown, tag("span", f" ({interval(score)})", class_="quiet")])


def count(value: float) -> Html:
    """Return a whole number.

    Examples
    --------
    >>> count(8400)
    '<data value="8400">8,400</data>'
    """
    return exact(value, f"{value:,.0f}")


def tidy(value: float) -> str:
    """Write a number with as many digits as a reader needs.

    Examples
    --------
    >>> [tidy(value) for value in (0, 0.25, 12.0, 1500, 0.00012, 3.14159)]
    ['0', '0.25', '12', '1,500', '0.00012', '3.14']
    """
    if value == 0 or not abs(value) < 1e15:
        return "0" if value == 0 else f"{value:.3g}"
    if abs(value) >= 1000 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Write a length of time.

    Examples
    --------
    >>> [seconds(value).replace(chr(160), " ") for value in (0.25, 59.2, 125, 7384)]
    ['0.2 s', '59 s', '2 min 5 s', '2 h 3 min']
    """
    if value < 10:
        return f"{value:.1f}{_SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if not minutes:
        return f"{rest}{_SPACE}s"
    hours, left = divmod(minutes, 60)
    if not hours:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{hours}{_SPACE}h {left}{_SPACE}min"


def size(value: float) -> Html:
    """Return a number of bytes.

    Examples
    --------
    >>> [size(value).replace(chr(160), " ") for value in (812, 972776)]
    ['<data value="812">812 B</data>', '<data value="972776">973 kB</data>']
    """
    if value < 1000:
        return exact(value, f"{value:.0f}{_SPACE}B")
    if value < 1e6:
        return exact(value, f"{value / 1e3:.3g}{_SPACE}kB")
    return exact(value, f"{value / 1e6:.3g}{_SPACE}MB")


def some(number: int, one: str, many: str = "") -> str:
    """Write a number of things.

    Examples
    --------
    >>> some(1, "site"), some(1200, "call"), some(2, "entry", "entries")
    ('1 site', '1,200 calls', '2 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
