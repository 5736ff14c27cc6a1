"""HTML from small pure functions: text that is not marked as HTML is always escaped.

Numbers carry their exact value for machines, and a no-break space before their unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from asyndbt._measure import share_of
from asyndbt._text import duration, percent, percent_range

_VOID = frozenset({"br", "img", "link", "meta", "path"})


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: object) -> Html:
    """Return one element.

    Parameters
    ----------
    *children : str
        Escaped unless they are `Html`.
    **attributes : object
        ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; None and False leave an
        attribute out, True gives it no value.

    Examples
    --------
    >>> tag("p", "a < b", tag("b", "bold"), class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b<b>bold</b></p>'
    >>> tag("path", d="M0 0")
    '<path d="M0 0"/>'
    """
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{shown}/>")
    return Html(f"<{name}{shown}>{join(children)}</{name}>")


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def join(parts: Iterable[str], between: str = "") -> Html:
    """Concatenate parts, escaping those that are not HTML.

    Examples
    --------
    >>> join(["<", Html("<br/>")], " ")
    '&lt; <br/>'
    """
    return Html(between.join(part if isinstance(part, Html) else escape(part) for part in parts))


def paragraph(*children: str, class_: str | None = None) -> Html:
    return tag("p", *children, class_=class_)


def section(title: str, *children: str) -> Html:
    """Return a section with its heading, which can be linked to."""
    name = anchor(title)
    return tag("section", tag("h2", title, id=name), *children, aria_labelledby=name)


def anchor(title: str) -> str:
    """Return the link target of a heading.

    Examples
    --------
    >>> anchor("What left each site")
    'what-left-each-site'
    """
    return "-".join(title.lower().split())


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    class_: str | None = None,
    texts: int = 1,
) -> Html:
    """Return a table whose first column names its rows.

    The first `texts` columns hold text, the others numbers.
    """
    sides = [None if column < texts else "number" for column in range(len(head))]
    body = (
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=side) for cell, side in zip(row[1:], sides[1:], strict=True)),
        )
        for row in rows
    )
    heading = (
        tag("th", name, scope="col", class_=side) for name, side in zip(head, sides, strict=True)
    )
    content = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heading)),
        tag("tbody", *body),
        class_=class_,
    )
    return tag("div", content, class_="scroll", role="region", aria_label=caption, tabindex="0")


def exact(value: float, shown: str) -> Html:
    """Return a number as shown, with its exact value for machines."""
    return tag("data", shown, value=f"{value:.12g}")


def percent_text(share: float, digits: int = 1) -> str:
    return _unbroken(percent(share, digits))


def duration_text(seconds: float) -> str:
    return _unbroken(duration(seconds, digits=1))


def _unbroken(text: str) -> str:
    return re.sub(r"(?<=\d) ", "\N{NO-BREAK SPACE}", text)


def accuracy_text(score: Mapping[str, Any]) -> Html:
    interval = percent_range(score["interval"], "–")
    return join([exact_percent(score), tag("span", f" ({interval})", class_="quiet")])


def exact_percent(score: Mapping[str, Any]) -> Html:
    share = share_of(score)
    return exact(share, percent_text(share))


def count_text(value: float) -> Html:
    """Return a whole number with thousands separators.

    Examples
    --------
    >>> count_text(8400)
    '<data value="8400">8,400</data>'
    """
    return exact(value, f"{value:,.0f}")


def size_text(value: float) -> Html:
    """Return a number of bytes.

    Examples
    --------
    >>> [size_text(value).replace(chr(160), " ") for value in (812, 972776)]
    ['<data value="812">812 B</data>', '<data value="972776">973 kB</data>']
    """
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return exact(value, _unbroken(f"{value / factor:.3g} {unit}"))
    return exact(value, _unbroken(f"{value:.0f} B"))


def tidy(value: float) -> str:
    """Format a number to about three significant digits.

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
