"""The report on a run or a study: one HTML file that needs no other, written or served."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import islice
from pathlib import Path

from asyndbt._html import Html, anchor, count_text, join, paragraph, section, table, tag
from asyndbt._text import counted
from asyndbt.errors import AsyndbtError, RunDirectoryError
from asyndbt.report._accuracy import (
    accuracy_section,
    head_section,
    prompts_section,
    warnings_section,
)
from asyndbt.report._comparison import comparison
from asyndbt.report._costs import costs_section, traffic_section
from asyndbt.report._learning_curves import agreement_section, learning_curves_section
from asyndbt.report._policies import policies_section
from asyndbt.report._record import Record, read_record
from asyndbt.report._timeline import timeline_section
from asyndbt.report._wrong_answers import errors_section
from asyndbt.run import Result, SiteErrors, wrong_answers

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is loaded and no script runs, whatever texts a record has."""
_RELOAD_SECONDS = 3
_SITES = 40
_ROWS = 200
_MODES = {"both": "words and demonstrations", "fragment": "words"}
_PATH = re.compile(r'"(?:/|[A-Za-z]:\\\\|\\\\\\\\|~)[^"]*?([^"/\\]*)"')
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_PICTURE = re.compile(r"!\[(.*)\]\((.+)\)")
_MARKED = re.compile(r"(\*\*.+?\*\*|<u>.+?</u>|`.+?`)")


def build_page(
    directory: Path | str, *, errors: bool = False, reload_seconds: int | None = None
) -> str:
    """Return the report on a run or a study as HTML.

    Parameters
    ----------
    directory : path
        Of a run, finished or not, or of a study (with its results.csv).
    errors : bool
        Whether to show the test examples that the tuned prompts still get wrong, with their texts.
    reload_seconds : int, optional
        Interval at which a browser reloads the page of an unfinished run.

    Raises
    ------
    RunDirectoryError
        If neither is recorded there.
    AsyndbtError
        With `errors`, if it is no finished run whose data and answers are here.
    """
    folder = Path(directory)
    wrong = wrong_answers(Result(folder)) if errors else None
    if not (folder / "config.toml").exists() and (folder / "results.csv").exists():
        return _document(f"Study {folder.resolve().name}", _study_page(folder))
    record = _read(folder)
    again = reload_seconds if record.result is None else None
    return _document(f"Report on {record.name}", _run_page(record, wrong), again)


def build_comparison(first: Path | str, second: Path | str) -> str:
    """Return a page of two runs side by side as HTML.

    Raises
    ------
    RunDirectoryError
        If a run is not recorded there.
    """
    records = _read(Path(first)), _read(Path(second))
    return _document(" and ".join(record.name for record in records), comparison(*records))


def _read(folder: Path) -> Record:
    try:
        return read_record(folder)
    except ValueError as error:
        raise RunDirectoryError(f"{folder}: the record cannot be read: {error}") from error


def serve_page(directory: Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the report, bound to 127.0.0.1 (port 0: any free one) and not yet started.

    Raises
    ------
    RunDirectoryError
        If neither a run nor a study is recorded there.
    OSError
        If the port is taken.
    """
    build_page(directory)
    return ThreadingHTTPServer(("127.0.0.1", port), _handler(directory))


def _current_page(directory: Path) -> str:
    """Return the page, or one with the error: a file may be incomplete at this moment."""
    try:
        return build_page(directory, reload_seconds=_RELOAD_SECONDS)
    except (AsyndbtError, OSError) as error:
        return _document("Report", paragraph(str(error)), _RELOAD_SECONDS)


def _handler(directory: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Serves the page alone, and only under this machine's own names."""

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rsplit(":", 1)[0]
            if host not in ("127.0.0.1", "localhost"):
                self.send_error(403, "this page is for this machine only")
            elif self.path != "/":
                self.send_error(404)
            else:
                content = _current_page(directory).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log nothing."""

    return Handler


def _document(title: str, content: Html, reload_seconds: int | None = None) -> str:
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


def _run_page(record: Record, wrong: Mapping[str, SiteErrors] | None) -> Html:
    parts = [
        warnings_section(record),
        accuracy_section(record),
        prompts_section(record),
        Html() if wrong is None else errors_section(wrong),
        learning_curves_section(record),
        timeline_section(record),
        agreement_section(record),
        policies_section(record),
        costs_section(record),
        traffic_section(record),
        _settings_section(record),
    ]
    foot = (
        "Made from the run's record by asyndbt report. It shows texts of examples where the record "
        "has the sites' own parts."
    )
    main = tag("main", *parts)
    return join([head_section(record), _contents(parts[1:]), main, tag("footer", foot)])


def _contents(parts: list[Html]) -> Html:
    titles = [found.group(1) for part in parts if (found := re.search(r"<h2[^>]*>([^<]+)<", part))]
    links = [tag("a", Html(title), href=f"#{anchor(title)}") for title in titles]
    return tag("nav", *links, aria_label="sections")


def _settings_section(record: Record) -> Html:
    text = _without_paths(record.config_text)
    return section(
        "Settings and versions",
        _examples(record),
        table("What the run was", ["what", "value"], _facts(record), texts=2),
        tag(
            "details",
            tag("summary", "The configuration, every default written out"),
            tag("pre", text, tabindex="0", aria_label="configuration"),
        ),
    )


def _examples(record: Record) -> Html:
    sites = record.start.get("sites")
    if not sites:
        return Html()
    rows = [
        [name, *(count_text(counts.get(part, 0)) for part in ("train", "validation", "test"))]
        for name, counts in sites.items()
    ]
    return table("Examples by site", ["site", "training", "validation", "test"], rows[:_SITES])


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    result, start = record.result or {}, record.start
    model = (record.model or result.get("model") or {}).get("model") or start.get("model")
    sizes = []
    if start.get("positions"):
        sizes.append(
            f"{counted(start['positions'], 'position')}, {counted(start['words'], 'word')}"
        )
    if start.get("slots"):
        candidates = counted(start["candidates"], "candidate")
        sizes.append(f"{counted(start['slots'], 'slot')}, {candidates} each")
    facts = {
        "language model": model,
        "preset": start.get("preset"),
        "tuned": _MODES.get(start.get("mode", ""), start.get("mode")),
        "sizes": "; ".join(sizes) if start else None,
        "seed": result.get("seed", start.get("seed")),
        **{f"version of {name}": number for name, number in result.get("versions", {}).items()},
    }
    for name, value in facts.items():
        if value is not None:
            yield name, str(value)


def _without_paths(text: str) -> str:
    r"""Shorten absolute paths to their last part: a report may be passed on.

    Examples
    --------
    >>> _without_paths('train = "/home/me/study/train.jsonl"\nprovider = "pocket"')
    'train = "…/train.jsonl"\nprovider = "pocket"'
    """
    return _PATH.sub(r'"…/\1"', text)


def _study_page(directory: Path) -> Html:
    """Return the study's README.md or, before there is one, the first of its results."""
    readme = directory / "README.md"
    if readme.exists():
        parts = list(_blocks(directory, readme.read_text("utf-8").split("\n\n")))
    else:
        parts = [tag("h1", f"Study {directory.resolve().name}"), _results(directory)]
    return tag("main", *parts, class_="study")


def _blocks(directory: Path, blocks: list[str]) -> Iterator[Html]:
    """Yield the blocks of a study's Markdown, which uses little of the language."""
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
    """Return a text with its bold, underlined and code words as HTML.

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
    """Embed a picture of the study; no other file is read."""
    file, home = (directory / name).resolve(), directory.resolve()
    if file.suffix not in _KINDS or not file.is_relative_to(home) or not file.exists():
        return paragraph(caption, class_="quiet")
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    image = tag("img", src=f"data:{_KINDS[file.suffix]};base64,{data}", alt=caption)
    return tag("figure", tag("figcaption", tag("strong", caption)), image)


def _results(directory: Path) -> Html:
    with (directory / "results.csv").open(encoding="utf-8", newline="") as lines:
        head, *rows = islice(csv.reader(lines), _ROWS + 1)
    return table(f"results.csv, the first {counted(len(rows), 'row')}", head, rows)
