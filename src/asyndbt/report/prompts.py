"""The tuned prompt as text, of every site whose own part is in the record."""

from __future__ import annotations

from asyndbt.report.html import Html, join, paragraph, section, tag
from asyndbt.report.record import Record

__all__ = ["prompts"]


def prompts(record: Record) -> Html:
    """Return the tuned prompt of every site whose own part is there, else what all share."""
    ready = {name: part.prompt for name, part in record.parts.items() if part.prompt}
    if record.result is None:
        return Html()
    title = "The tuned prompt"
    shared = (
        paragraph("Words that all sites share: ", tag("q", " ".join(record.fragment)))
        if (record.fragment and len(record.sites) > 1)
        else Html()
    )
    if not ready:
        return section(
            title,
            shared,
            _outline(record),
            paragraph(
                "The demonstrations are each site's own and lie at the site, or are chosen anew "
                "for every query: this record does not have them.",
                class_="quiet",
            ),
        )
    blocks = [
        join(
            [
                tag("h3", f"At {name}") if len(record.sites) > 1 else Html(),
                tag("pre", prompt.text_template(), tabindex="0", aria_label=f"prompt of {name}"),
            ]
        )
        for name, prompt in ready.items()
    ]
    missing = [name for name in record.sites if name not in ready]
    where = f"Not in this record: {', '.join(missing)}." if missing else ""
    return section(
        title,
        shared,
        paragraph("Braces stand where the query goes. Demonstrations are examples of the site."),
        *blocks,
        paragraph(where, class_="quiet") if where else Html(),
    )


def _outline(record: Record) -> Html:
    """Show the prompt without demonstrations, as far as the configuration tells it."""
    task = record.config.get("task", {})
    question = task.get("instruction")
    if not question:
        return Html()
    words = " ".join(record.fragment)
    note = f" {task.get('fragment_intro', 'Note:')} {words}." if words else ""
    return tag(
        "pre",
        f"[demonstrations of the site]\nQuestion: {question}{note} Answer:",
        tabindex="0",
        aria_label="outline of the prompt",
    )
