"""Test examples that the tuned prompt still gets wrong: texts of a site, only where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asyndbt._html import Html, paragraph, section, table, tag
from asyndbt._text import counted
from asyndbt.run import SiteErrors

_ROWS: Final = 200
"""Most rows of a site that are shown."""


def errors_section(errors: Mapping[str, SiteErrors]) -> Html:
    """Return the texts, labels and answers of what is still wrong, by site."""
    blocks = [paragraph("Texts of the sites, for those alone who may read them.")]
    for site, found in errors.items():
        tested = counted(found.tested, "test example")
        blocks += [
            tag("h3", f"At {site}") if len(errors) > 1 else Html(),
            paragraph(f"{len(found.wrong):,} of {tested} got another label than theirs."),
            _rows(found),
        ]
    if not errors:
        blocks.append(
            paragraph(
                "Not in this record: its prompts are at the sites or chosen for every query, or "
                "answers are gone.",
                class_="quiet",
            )
        )
    return section("What is still wrong", *blocks)


def _rows(found: SiteErrors) -> Html:
    if not found.wrong:
        return Html()
    names = list(found.wrong[0].fields)
    head = [*names, "expected", "answered"]
    shown = found.wrong[:_ROWS]
    rows = [
        [*(each.fields[name] for name in names), each.expected, each.answered or "no label"]
        for each in shown
    ]
    more = len(found.wrong) - len(shown)
    left = paragraph(f"and {counted(more, 'row')} more", class_="quiet") if more else Html()
    return Html(table("Rows with another answer", head, rows, texts=len(head)) + left)
