"""A result as a notebook shows it: accuracies, calls, and the tuned prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asyndbt._html import Html, accuracy_text, paragraph, table, tag
from asyndbt._measure import costs_text, measure_of, words_of
from asyndbt._text import counted, part_of, untested_text
from asyndbt.prompt import TunedPrompt
from asyndbt.run._liars import recorded_liars

_KINDS = (
    ("plain", "plain prompt"),
    ("random_icl", "random demonstrations"),
    ("tuned", "tuned prompt"),
)
_SITES = 20
"""Most sites that are shown."""


def result_html(name: str, data: Mapping[str, Any], prompts: Mapping[str, TunedPrompt]) -> Html:
    """Return what a notebook shows of a run.

    Parameters
    ----------
    name : str
        Of the run.
    data : mapping
        The content of ``result.json``.
    prompts : mapping of str to TunedPrompt
        By site. Their demonstrations are examples.
    """
    return tag("div", *_parts(name, data, prompts))


def _parts(
    name: str, data: Mapping[str, Any], prompts: Mapping[str, TunedPrompt]
) -> Iterator[Html]:
    yield paragraph(tag("b", "asyndbt"), f", run {name}", *_calls(data.get("ledger")))
    if any(data["metrics"]["test"].values()):
        measure = words_of(measure_of(data["metrics"]["test"].values())).capitalize()
        title = f"{measure} on test data, with 95 % intervals"
        yield table(title, ["", *(title for _, title in _KINDS), "examples"], _rows(data))
        if costs := costs_text(data["metrics"]["test"], dict(_KINDS)):
            yield paragraph(costs)
    else:
        yield paragraph(untested_text(data))
    yield from (paragraph(f"Warning: {text}") for text in data.get("warnings", ()))
    for site in list(prompts)[:_SITES]:
        text = tag("pre", prompts[site].outline(), style="white-space: pre-wrap")
        yield tag("details", tag("summary", f"Prompt of {site}"), text)


def _calls(ledger: Mapping[str, Any] | None) -> Iterator[str]:
    """Return what a run took; a site on its own machine does not know it."""
    if ledger is None:
        return
    money = f", {ledger['money']:,.4g} of money" if ledger["money"] else ""
    cached = counted(ledger["cached"], "answer")
    yield f": {counted(ledger['calls'], 'call')}{money}, and {cached} from the cache"


def _rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    liars = recorded_liars(data)
    for site, found in list(data["sites"].items())[:_SITES]:
        name = f"{site} (lies)" if site in liars else site
        yield _row(name, found["metrics"]["test"], found.get("test_examples"))
    if len(data["sites"]) > 1:
        together = "honest sites" if liars else "all sites"
        yield _row(together, data["metrics"]["test"], data.get("test_examples"))


def _row(name: str, scores: Mapping[str, Any], given: int | None) -> list[str]:
    cells = [accuracy_text(score) if (score := scores.get(kind)) else "-" for kind, _ in _KINDS]
    tested = max((score["n"] for score in scores.values() if score), default=0)
    return [name, *cells, part_of(tested, given)]
