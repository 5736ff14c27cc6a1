"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from asyndbt.errors import RunDirectoryError
from asyndbt.report.costs import border, costs
from asyndbt.report.course import agreement, course
from asyndbt.report.html import Html, anchor, join, tag
from asyndbt.report.outcome import accuracies, head, warnings
from asyndbt.report.policies import policies
from asyndbt.report.prompts import prompts
from asyndbt.report.record import Record, read_record
from asyndbt.report.settings import settings
from asyndbt.report.study import study_page
from asyndbt.report.timeline import timeline

__all__ = ["build_page", "document", "run_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is loaded and no script runs, whatever the texts in a record are."""


def build_page(directory: Path | str, *, reload_seconds: int | None = None) -> str:
    """Return the report on a run or a study as HTML.

    Parameters
    ----------
    directory : path
        Of a run, finished or not, or of a study (with its results.csv).
    reload_seconds : int, optional
        A browser loads the page of an unfinished run anew after so many seconds.

    Raises
    ------
    RunDirectoryError
        If neither is recorded there.
    """
    folder = Path(directory)
    if not (folder / "config.toml").exists() and (folder / "results.csv").exists():
        return document(f"Study {folder.resolve().name}", study_page(folder))
    try:
        record = read_record(folder)
    except ValueError as error:
        raise RunDirectoryError(f"{folder}: the record cannot be read: {error}") from error
    again = reload_seconds if record.result is None else None
    return document(f"Report on {record.name}", run_page(record), again)


def run_page(record: Record) -> Html:
    """Return the content of the report on a run."""
    parts = [
        warnings(record),
        accuracies(record),
        prompts(record),
        course(record),
        timeline(record),
        agreement(record),
        policies(record),
        costs(record),
        border(record),
        settings(record),
    ]
    return join([head(record), _contents(parts[1:]), tag("main", *parts), _foot()])


def _contents(parts: list[Html]) -> Html:
    """Link to the sections that there are."""
    titles = [found.group(1) for part in parts if (found := re.search(r"<h2[^>]*>([^<]+)<", part))]
    links = [tag("a", Html(title), href=f"#{anchor(title)}") for title in titles]
    return tag("nav", *links, aria_label="sections")


def _foot() -> Html:
    return tag(
        "footer",
        "Made from the run's record by asyndbt report. It shows texts of examples where the record "
        "has the sites' own parts.",
    )


def document(title: str, content: Html, reload_seconds: int | None = None) -> str:
    """Return a whole page; a browser loads it anew after `reload_seconds`, if they are given."""
    style = Html(files("asyndbt.report").joinpath("page.css").read_text("utf-8"))
    head_parts = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", style),
    ]
    if reload_seconds is not None:
        head_parts.append(tag("meta", http_equiv="refresh", content=f"{reload_seconds}"))
    page = tag("html", tag("head", *head_parts), tag("body", content), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"
