"""A study's page: its own account (README.md) with tables and figures, as they lie there."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from asyndbt.report.html import Html, join, paragraph, table, tag

__all__ = ["study_page"]

_ROWS = 200
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_PICTURE = re.compile(r"!\[(.*)\]\((.+)\)")
_MARKED = re.compile(r"(\*\*.+?\*\*|<u>.+?</u>|`.+?`)")


def study_page(directory: Path) -> Html:
    """Return the content of the page; without an account, the first rows of the results."""
    account = directory / "README.md"
    if account.exists():
        parts = list(_blocks(directory, account.read_text("utf-8").split("\n\n")))
    else:
        parts = [tag("h1", f"Study {directory.resolve().name}"), _results(directory)]
    return tag("main", *parts, class_="study")


def _blocks(directory: Path, blocks: list[str]) -> Iterator[Html]:
    """Read the little Markdown that an account is written in."""
    title = ""
    for block in map(str.strip, blocks):
        if block.startswith("# "):
            yield tag("h1", block[2:])
        elif block.startswith("## "):
            yield tag("h2", block[3:])
        elif block.startswith("|"):
            yield _table(title, block)
        elif block.startswith("**") and block.endswith("**"):
            title = block.strip("*")
        elif found := _PICTURE.fullmatch(block):
            yield _picture(directory, found.group(2), found.group(1))
        elif block and not (block.startswith("*") and block.endswith("*")):
            yield paragraph(_inline(block))


def _table(title: str, block: str) -> Html:
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines()]
    head, _, *body = rows
    whole = (row for row in body if len(row) == len(head))
    return table(title, head, ([_inline(cell) for cell in row] for row in whole))


def _inline(text: str) -> Html:
    """Return a text in which bold, underlined and code words stand out.

    Examples
    --------
    >>> _inline("**9** <b> `x`")
    '<b>9</b> &lt;b&gt; <code>x</code>'
    """
    return join(_word(part) for part in _MARKED.split(text))


def _word(part: str) -> str:
    for opening, closing, name in (("**", "**", "b"), ("<u>", "</u>", "u"), ("`", "`", "code")):
        if part.startswith(opening) and part.endswith(closing) and _MARKED.fullmatch(part):
            return tag(name, part.removeprefix(opening).removesuffix(closing))
    return part


def _picture(directory: Path, name: str, caption: str) -> Html:
    """Show a picture of the study, and no other file."""
    file, home = (directory / name).resolve(), directory.resolve()
    if file.suffix not in _KINDS or not file.is_relative_to(home) or not file.exists():
        return paragraph(caption, class_="quiet")
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    image = tag("img", src=f"data:{_KINDS[file.suffix]};base64,{data}", alt=caption)
    return tag("figure", tag("figcaption", tag("strong", caption)), image)


def _results(directory: Path) -> Html:
    with (directory / "results.csv").open(encoding="utf-8", newline="") as lines:
        head, *rows = islice(csv.reader(lines), _ROWS + 1)
    return table(f"results.csv, the first {len(rows)} rows", head, rows)
