"""The head of a report, and what a run is for: accuracy before and after.

The tuned prompt as text, of every site whose own part is in the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asyndbt.lm import find_providers
from asyndbt.report._html import (
    Html,
    accuracy_text,
    count_text,
    exact,
    join,
    paragraph,
    percent,
    seconds_text,
    section,
    some,
    tag,
)
from asyndbt.report._record import Record

__all__ = ["accuracy_section", "head_section", "prompts_section", "warnings_section"]

KINDS = (
    ("plain", "plain prompt"),
    ("random_icl", "random demonstrations"),
    ("tuned", "tuned prompt"),
)
_STOPS = {
    "budget": "the budget for tuning was used up",
    "iterations": "the number of server steps was reached",
    "converged": "every policy had settled",
    "nothing new to ask": "there was nothing new to ask",
}


def head_section(record: Record) -> Html:
    """Return the headline, the standfirst and the facts in brief."""
    return tag(
        "header",
        paragraph(f"asyndbt, {'run' if record.result else 'unfinished run'}: ", record.name),
        tag("h1", *_headline(record)),
        paragraph(*_standfirst(record), class_="standfirst"),
        tag("dl", *_facts(record), class_="facts"),
    )


def _tests(record: Record) -> dict[str, Mapping[str, Any]]:
    """Test scores over all sites, those that there are."""
    found = ((record.result or {}).get("metrics") or {}).get("test") or {}
    return {kind: score for kind, score in found.items() if score}


def _headline(record: Record) -> Iterator[str]:
    tests = _tests(record)
    if record.result is None:
        done = len(record.steps)
        yield f"{some(done, 'server step')} so far" if done else "The run has just begun"
    elif "tuned" not in tests:
        yield "Tuned, and not tested: there was no test data"
    else:
        tuned = tests["tuned"]["accuracy"]
        yield from ("The tuned prompt is right in ", exact(tuned, percent(tuned)))
        if "plain" in tests:
            plain = tests["plain"]["accuracy"]
            yield from (" of cases, the plain prompt in ", exact(plain, percent(plain)))
        else:
            yield " of cases"


def _standfirst(record: Record) -> Iterator[str]:
    tests = _tests(record)
    if record.result is None:
        yield (
            "This run is not finished: there is no result yet, and everything below is as of its "
            "latest record. "
        )
        return
    if {"tuned", "plain"} <= tests.keys():
        tuned, plain = tests["tuned"], tests["plain"]
        yield f"Measured on {some(tuned['n'], 'test example')} that no decision had looked at. "
        if tuned["interval"][0] <= plain["interval"][1]:
            yield "The 95 % intervals overlap: the difference may be chance. "
    reason = record.result.get("stop_reason")
    if reason in _STOPS:
        yield f"Tuning ended because {_STOPS[reason]}. "
    provider = find_providers().get(record.config.get("lm", {}).get("provider", ""))
    if provider is not None:
        yield provider.caveat


def _facts(record: Record) -> Iterator[Html]:
    start, last = record.start, record.events[-1] if record.events else {}
    result = record.result or {}
    ledger = result.get("ledger") or {}
    calls = ledger.get("calls", record.steps[-1]["calls_total"] if record.steps else None)
    steps = result.get("iterations", record.steps[-1]["iteration"] if record.steps else 0)
    clock = " (virtual)" if _engine(record) == "virtual" else ""
    facts: list[tuple[str, str | None]] = [
        ("method", result.get("method")),
        ("language model", start.get("model") or (record.model or {}).get("model")),
        ("sites", f"{len(record.sites):,}" if record.sites else None),
        ("server steps" if record.steps else "steps", count_text(steps) if steps else None),
        ("calls", count_text(calls) if calls is not None else None),
        ("time", seconds_text(last["elapsed"]) + clock if last else None),
        ("phase", None if record.result else record.phase),
    ]
    for name, value in facts:
        if value is not None:
            yield tag("div", tag("dt", name), tag("dd", value))


def _engine(record: Record) -> str:
    return str(record.config.get("federation", {}).get("engine", "local"))


def warnings_section(record: Record) -> Html:
    """Return what the user should know before believing a figure; nothing if there is nothing."""
    found = [event["text"] for event in record.kind("warning")]
    found += (record.result or {}).get("warnings", ())
    items = [tag("li", text) for text in dict.fromkeys(found)]
    if not items:
        return Html()
    return tag("div", section("Warnings", tag("ul", *items)), class_="warnings")


def accuracy_section(record: Record) -> Html:
    """Return accuracies on test data before and after, with intervals, overall and per site."""
    if record.result is None:
        return Html()
    title = "Accuracy before and after"
    overall = _tests(record)
    if not overall:
        return section(
            title,
            paragraph(
                "No accuracy was measured: there is no test data (", tag("code", "data.test"), ")."
            ),
        )
    groups = [("All sites" if len(record.sites) > 1 else "Test data", overall)]
    if len(record.sites) > 1:
        groups += [
            (name, ((site.get("metrics") or {}).get("test")) or {})
            for name, site in record.result.get("sites", {}).items()
        ]
    ruler = tag("div", *map(_mark, (0, 25, 50, 75, 100)), class_="ruler", aria_hidden="true")
    return section(
        title,
        paragraph(
            "Test examples were put into a prompt once, after everything was decided. Lines are "
            "95 % intervals."
        ),
        tag(
            "table",
            tag("caption", "Accuracy on test data, with 95 % intervals"),
            tag(
                "thead",
                tag(
                    "tr",
                    tag("th", "prompt", scope="col"),
                    tag("th", ruler, scope="col", aria_label="on a scale of 0 to 100 %"),
                    tag("th", "accuracy, %", scope="col", class_="number"),
                    tag("th", "examples", scope="col", class_="number wide"),
                ),
            ),
            *(_group(name, scores) for name, scores in groups),
            class_="accuracies",
        ),
    )


def _mark(share: int) -> Html:
    return tag("span", f"{share}", style=f"left:{share}%")


def _group(name: str, scores: Mapping[str, Any]) -> Html:
    rows = [
        tag(
            "tr",
            tag("th", shown, scope="row"),
            tag("td", _range(kind, scores[kind])),
            tag("td", accuracy_text(scores[kind]), class_="number"),
            tag("td", count_text(scores[kind]["n"]), class_="number wide"),
            class_=kind,
        )
        for kind, shown in KINDS
        if scores.get(kind)
    ]
    if not rows:
        rows = [tag("tr", tag("td", "not scored", colspan=4))]
    title = tag("tr", tag("th", name, colspan=4, scope="rowgroup"), class_="group")
    return tag("tbody", title, *rows)


def _range(kind: str, score: Mapping[str, Any]) -> Html:
    """Draw an interval and its point: a ring, a square, a disc."""
    low, high = (round(1000 * end) for end in score["interval"])
    at = f"M{round(1000 * score['accuracy'])} 10h0"
    return tag(
        "svg",
        tag("path", d="M0 0V20M250 0V20M500 0V20M750 0V20M1000 0V20", class_="rule"),
        tag("path", d=f"M{low} 10H{high}", class_="whisker"),
        tag("path", d=at, class_=f"point {kind}"),
        tag("path", d=at, class_="hole") if kind != "tuned" else Html(),
        viewBox="0 0 1000 20",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="range",
    )


def prompts_section(record: Record) -> Html:
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
