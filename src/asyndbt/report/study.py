"""A study's page: its tables and figures, as they lie in its directory."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from asyndbt.report.html import Html, anchor, join, paragraph, table, tag
from asyndbt.report.numbers import some

__all__ = ["study_page"]

_ROWS = 200
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def study_page(directory: Path, tables: Mapping[str, Sequence[Sequence[str]]]) -> Html:
    """Return the content of the page.

    Parameters
    ----------
    directory : Path
    tables : mapping of str to sequence of rows
        By file name; the first row is the head.
    """
    rows = len(tables["results.csv"]) - 1
    return join(
        [
            tag(
                "header",
                paragraph("asyndbt, study"),
                tag("h1", directory.resolve().name),
                paragraph(f"{some(rows, 'figure')} in results.csv."),
            ),
            tag("main", *_figures(directory), *_tables(tables), class_="study"),
        ]
    )


def _figures(directory: Path) -> Iterator[Html]:
    """Show every picture; of one that is there as SVG and PNG, the SVG."""
    found = {file.with_suffix(""): file for file in sorted(directory.glob("**/*.png"))}
    found |= {file.with_suffix(""): file for file in sorted(directory.glob("**/*.svg"))}
    for file in found.values():
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        name = file.stem.replace("_", " ").replace("-", " ")
        image = tag("img", src=f"data:{_KINDS[file.suffix]};base64,{data}", alt=name)
        yield tag("section", tag("h2", name, id=anchor(name)), tag("figure", image))


def _tables(tables: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[Html]:
    for name, (head, *rows) in tables.items():
        caption = name
        if len(rows) > _ROWS:
            caption += f": the first {_ROWS} of {len(rows):,} rows"
        yield tag(
            "section",
            tag("h2", name),
            table(caption, head, [row for row in rows[:_ROWS] if len(row) == len(head)]),
        )
