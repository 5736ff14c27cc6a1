"""A table of text, as Markdown and as LaTeX; the best of a group is bold, the second underlined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Table", "TextCell", "latex", "markdown", "marks"]

Mark = Literal["", "best", "second"]

_TOLERANCE: Final = 1e-9
_SPECIAL: Final = {"\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "<": "$<$", "−": "$-$"}


@dataclass(frozen=True, slots=True)
class TextCell:
    """A cell of a table: its text, and how it stands out."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Parameters
    ----------
    name : str
        Of its files.
    title : str
    head : sequence of str
    rows : sequence of sequence of TextCell
    note : str
        How to read it.
    """

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[TextCell]]
    note: str = ""


def marks(values: Sequence[float | None], *, least: bool = False) -> list[Mark]:
    """Say which values are best and second; equal ones share the mark.

    After two that are best together there is no second.

    Parameters
    ----------
    values : sequence of float or None
        None takes no part.
    least : bool
        Whether the smallest is the best.

    Examples
    --------
    >>> marks([3.0, 5.0, None, 4.0])
    ['', 'best', '', 'second']
    >>> marks([1.0, 1.0, 2.0], least=True)
    ['best', 'best', '']
    """
    sign = 1 if least else -1
    known = [sign * value for value in values if value is not None]
    found: list[Mark] = []
    for value in values:
        before = (
            sum(other < sign * value - _TOLERANCE for other in known) if value is not None else 2
        )
        equal = (
            sum(abs(other - sign * value) <= _TOLERANCE for other in known)
            if value is not None
            else 0
        )
        found.append("best" if before == 0 else "second" if before == 1 and equal else "")
    return found


def markdown(table: Table) -> str:
    """Write a table as Markdown, with its title and its note."""
    shown = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
    lines = [list(table.head), ["---"] * len(table.head)]
    lines += [[shown[cell.mark].format(cell.text) for cell in row] for row in table.rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = f"\n\n{table.note}" if table.note else ""
    return f"**{table.title}**\n\n{body}{note}\n"


def latex(table: Table) -> str:
    r"""Write a table as LaTeX, for ``booktabs``.

    Examples
    --------
    >>> print(latex(Table("t", "A title", ["x", "y"], [[TextCell("a_b"), TextCell("1", "best")]])))
    \begin{table}
      \centering
      \caption{A title}
      \begin{tabular}{lr}
        \toprule
        x & y \\
        \midrule
        a\_b & \textbf{1} \\
        \bottomrule
      \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    shown = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
    rows = [[shown[cell.mark].format(_escape(cell.text)) for cell in row] for row in table.rows]
    caption = f"{table.title}. {table.note}" if table.note else table.title
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escape(caption)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"    \toprule",
        f"    {' & '.join(map(_escape, table.head))} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(row)} \\\\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        return _SPECIAL.get(found[0], f"\\{found[0]}")

    return re.sub(r"[&%$#_{}\\±–<−]", one, text)
