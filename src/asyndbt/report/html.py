"""HTML from small pure functions: what is not marked as HTML is escaped, always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Html", "join", "paragraph", "section", "table", "tag"]

_VOID = frozenset({"br", "img", "link", "meta", "path"})


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: object) -> Html:
    """Return one element.

    Parameters
    ----------
    name : str
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
    """Put parts one after the other, those that are no HTML escaped.

    Examples
    --------
    >>> join(["<", Html("<br/>")], " ")
    '&lt; <br/>'
    """
    return Html(between.join(part if isinstance(part, Html) else escape(part) for part in parts))


def paragraph(*children: str, class_: str | None = None) -> Html:
    """Return a paragraph."""
    return tag("p", *children, class_=class_)


def section(title: str, *children: str) -> Html:
    """Return a section with its heading, which can be linked to."""
    name = anchor(title)
    return tag("section", tag("h2", title, id=name), *children, aria_labelledby=name)


def anchor(title: str) -> str:
    """Return the name under which a heading can be linked to.

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

    Parameters
    ----------
    caption : str
    head : sequence of str
    rows : iterable of sequence of str
    class_ : str, optional
    texts : int
        Columns, from the left, that hold text; the others hold numbers.
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
