"""The head of a report, accuracy before and after tuning, and the tuned prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asyndbt._html import (
    Html,
    accuracy_text,
    count_text,
    duration_text,
    exact_percent,
    paragraph,
    section,
    tag,
)
from asyndbt._measure import Measure, costs_text, words_of
from asyndbt._text import counted, part_of, percent, untested_text
from asyndbt.lm import find_providers
from asyndbt.report._chart import interval_chart
from asyndbt.report._record import Record
from asyndbt.run import recorded_liars

KINDS = (
    ("plain", "plain prompt"),
    ("random_icl", "random demonstrations"),
    ("tuned", "tuned prompt"),
)
_TOLD: Mapping[Measure, tuple[str, str, str]] = {
    "accuracy": ("is right in", " of cases", "in"),
    "mean_reward": ("has a mean reward of", "", "one of"),
}
"""Words around the scores of the headline."""
_STOP_REASONS = {
    "budget": "the budget for tuning was used up",
    "iterations": "the number of server steps was reached",
    "converged": "every policy had settled",
    "early stopping": "validation scores had stopped getting better",
    "nothing new to ask": "there was nothing new to ask",
}


def head_section(record: Record) -> Html:
    return tag(
        "header",
        paragraph(f"asyndbt, {'run' if record.result else 'unfinished run'}: ", record.name),
        tag("h1", *_headline(record)),
        paragraph(*_summary(record), class_="standfirst"),
        tag("dl", *_facts(record), class_="facts"),
    )


def test_scores(record: Record) -> dict[str, Mapping[str, Any]]:
    """Return the scores of all sites together on test data, by kind of prompt."""
    found = ((record.result or {}).get("metrics") or {}).get("test") or {}
    return {kind: score for kind, score in found.items() if score}


def _headline(record: Record) -> Iterator[str]:
    scores = test_scores(record)
    if recorded_liars(record.result or {}):
        yield "With simulated liars: "
    if record.result is None:
        done = len(record.steps)
        yield f"{counted(done, 'server step')} so far" if done else "The run has just begun"
    elif "tuned" not in scores:
        why = "scores stay at the sites" if "privacy" in record.result else "there was no test data"
        yield f"Tuned, and not tested here: {why}"
    else:
        before, after, by = _TOLD[record.measure]
        yield from (f"The tuned prompt {before} ", exact_percent(scores["tuned"]), after)
        if "plain" in scores:
            yield from (f", the plain prompt {by} ", exact_percent(scores["plain"]))


def _summary(record: Record) -> Iterator[str]:
    if record.result is None:
        yield (
            "This run is not finished: there is no result yet, and everything below is as of its "
            "latest record. "
        )
        return
    scores = test_scores(record)
    if {"tuned", "plain"} <= scores.keys():
        tuned, plain = scores["tuned"]["interval"], scores["plain"]["interval"]
        if tuned[0] <= plain[1]:
            yield "The 95 % intervals overlap: the difference may be chance. "
    reason = record.result.get("stop_reason")
    if reason in _STOP_REASONS:
        yield f"Tuning ended because {_STOP_REASONS[reason]}. "
    provider = find_providers().get(record.config.get("lm", {}).get("provider", ""))
    if provider is not None:
        yield provider.caveat


def _facts(record: Record) -> Iterator[Html]:
    start, result = record.start, record.result or {}
    step = record.steps[-1] if record.steps else {}
    calls = (result.get("ledger") or {}).get("calls", step.get("calls_total"))
    steps = result.get("iterations", step.get("iteration"))
    engine = record.config.get("federation", {}).get("engine")
    clock = " (virtual)" if engine == "virtual" else ""
    facts: list[tuple[str, str | None]] = [
        ("method", result.get("method")),
        ("language model", start.get("model") or (record.model or {}).get("model")),
        ("sites", f"{len(record.sites):,}" if record.sites else None),
        (
            "server steps" if record.asynchronous else "iterations",
            count_text(steps) if steps else None,
        ),
        ("calls", count_text(calls) if calls is not None else None),
        ("time", duration_text(record.end) + clock if record.events else None),
        ("privacy of a site", _privacy_text(record)),
        ("phase", None if record.result else record.phase),
    ]
    for name, value in facts:
        if value is not None:
            yield tag("div", tag("dt", name), tag("dd", value))


def _privacy_text(record: Record) -> str | None:
    kept = record.config.get("federation", {}).get("privacy")
    return kept and f"({kept['epsilon']:g}, {kept['delta']:g})-differential"


def warnings_section(record: Record) -> Html:
    found = [event["text"] for event in record.kind("warning")]
    found += (record.result or {}).get("warnings", ())
    items = [tag("li", text) for text in dict.fromkeys(found)]
    if not items:
        return Html()
    return tag("div", section("Warnings", tag("ul", *items)), class_="warnings")


def _test_use(record: Record) -> str:
    """Say how often test examples were used: a run with more budget evaluates again."""
    times = sum(event["phase"] == "evaluating" for event in record.kind("phase"))
    if times < 2:
        return "Test examples were used once, after every decision."
    return (
        f"Test examples were used {times} times: the run was given more budget after an "
        "evaluation, and whoever saw that decided to go on."
    )


def accuracy_section(record: Record) -> Html:
    """Return accuracies on test data for each kind of prompt, overall and by site."""
    if record.result is None:
        return Html()
    measure, overall = words_of(record.measure), test_scores(record)
    title = f"{measure.capitalize()} before and after"
    if not overall:
        return section(title, paragraph(untested_text(record.result)))
    whole = record.result.get("test_examples")
    liars = recorded_liars(record.result)
    together = "Honest sites" if liars else "All sites"
    groups = [(together if len(record.sites) > 1 else "Test data", overall, whole)]
    if len(record.sites) > 1:
        groups += [
            (
                f"{name} (lies)" if name in liars else name,
                ((site.get("metrics") or {}).get("test")) or {},
                site.get("test_examples"),
            )
            for name, site in record.result.get("sites", {}).items()
        ]
    marks = (tag("span", f"{at}", style=f"left:{at}%") for at in (0, 25, 50, 75, 100))
    ruler = tag("div", *marks, class_="ruler", aria_hidden="true")
    return section(
        title,
        paragraph(f"{_test_use(record)} Lines are 95 % intervals.{_medians(record, overall)}"),
        paragraph(costs) if (costs := costs_text(overall, dict(KINDS))) else Html(),
        tag(
            "table",
            tag("caption", f"{measure.capitalize()} on test data, with 95 % intervals"),
            tag(
                "thead",
                tag(
                    "tr",
                    tag("th", "prompt", scope="col"),
                    tag("th", ruler, scope="col", aria_label="on a scale of 0 to 100 %"),
                    tag("th", f"{measure}, %", scope="col", class_="number"),
                    tag("th", "examples", scope="col", class_="number wide"),
                ),
            ),
            *(_group(*group) for group in groups),
            class_="accuracies",
        ),
    )


def _medians(record: Record, overall: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the medians over the sites, beside which a mean that one site has made stands out."""
    if len(record.sites) < 2:
        return ""
    shown = [
        f"{name} {percent(overall[kind]['site_median'])}"
        for kind, name in KINDS
        if "site_median" in overall.get(kind, {})
    ]
    return f" Median over the sites: {', '.join(shown)}." if shown else ""


def _group(name: str, scores: Mapping[str, Any], given: int | None) -> Html:
    rows = [
        tag(
            "tr",
            tag("th", shown, scope="row"),
            tag("td", interval_chart(kind, scores[kind])),
            tag("td", accuracy_text(scores[kind]), class_="number"),
            tag("td", part_of(scores[kind]["n"], given), class_="number wide"),
            class_=kind,
        )
        for kind, shown in KINDS
        if scores.get(kind)
    ]
    if not rows:
        rows = [tag("tr", tag("td", "not scored", colspan=4))]
    title = tag("tr", tag("th", name, colspan=4, scope="rowgroup"), class_="group")
    return tag("tbody", title, *rows)


def prompts_section(record: Record) -> Html:
    """Return the tuned prompts that the record has, else what all sites share."""
    if record.result is None:
        return Html()
    prompts = {name: part.prompt for name, part in record.parts.items() if part.prompt}
    blocks, several = [], len(record.sites) > 1
    if record.fragment and several:
        words = tag("q", " ".join(record.fragment))
        blocks.append(paragraph("Words that all sites share: ", words))
    if not prompts:
        missing = (
            "The demonstrations are each site's own and lie at the site, or are chosen for every "
            "query: this record does not have them."
        )
        return section(
            "The tuned prompt", *blocks, _outline(record), paragraph(missing, class_="quiet")
        )
    blocks.append(
        paragraph("Braces stand where the query goes. Demonstrations are examples of the site.")
    )
    for name, prompt in prompts.items():
        blocks.append(tag("h3", f"At {name}") if several else Html())
        blocks.append(_prompt(prompt.outline(), f"prompt of {name}"))
    absent = [name for name in record.sites if name not in prompts]
    if absent:
        blocks.append(paragraph(f"Not in this record: {', '.join(absent)}.", class_="quiet"))
    return section("The tuned prompt", *blocks)


def _outline(record: Record) -> Html:
    """Return the prompt without demonstrations, as far as the configuration determines it."""
    task = record.config.get("task", {})
    question = task.get("instruction")
    if not question:
        return Html()
    words = " ".join(record.fragment)
    note = f" {task.get('fragment_intro', 'Note:')} {words}." if words else ""
    text = f"[demonstrations of the site]\nQuestion: {question}{note} Answer:"
    return _prompt(text, "outline of the prompt")


def _prompt(text: str, label: str) -> Html:
    return tag("pre", text, tabindex="0", aria_label=label)
