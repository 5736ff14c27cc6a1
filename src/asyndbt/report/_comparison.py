"""Two runs side by side: accuracy, cost, settings and prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from asyndbt._html import Html, accuracy_text, count_text, join, paragraph, section, table, tag
from asyndbt._measure import PLURALS, words_of
from asyndbt.report._accuracy import KINDS, test_scores
from asyndbt.report._record import Record

_LEDGER = {"calls": "calls", "tokens_in": "tokens sent", "tokens_out": "tokens received"}
_SITES = 40
Pair = tuple[Record, Record]


def comparison(first: Record, second: Record) -> Html:
    """Return what a page shows of two runs, finished or not."""
    pair = (first, second)
    head = tag(
        "header",
        paragraph("asyndbt, two runs side by side"),
        tag("h1", f"{first.name} and {second.name}"),
    )
    sections = (_accuracy(pair), _cost(pair), _settings(pair), _prompts(pair))
    return join([head, tag("main", *sections)])


def _table(pair: Pair, caption: str, rows: list[list[str]]) -> Html:
    return table(caption, ["", *(record.name for record in pair)], rows)


def _accuracy(pair: Pair) -> Html:
    rows = _scores("", *(test_scores(record) for record in pair))
    shared = [name for name in pair[0].sites if name in pair[1].sites]
    for name in shared[:_SITES] if len(shared) > 1 else ():
        rows += _scores(f"{name}, ", *(_site_scores(record, name) for record in pair))
    measures = list(dict.fromkeys(record.measure for record in pair))
    title = " and ".join(map(words_of, measures)).capitalize()
    if not rows:
        return section(title, paragraph("Neither run has been tested."))
    text = "In brackets: 95 % intervals of each run; the difference of two may be chance."
    if pair[0].config.get("data") != pair[1].config.get("data"):
        plural = " and ".join(PLURALS[measure] for measure in measures)
        text += f" The runs differ in their data: {plural} may be of other examples."
    return section(title, paragraph(text), _table(pair, f"{title} on test data", rows))


def _scores(where: str, *scores: Mapping[str, Any]) -> list[list[str]]:
    return [
        [f"{where}{name}", *(accuracy_text(one[kind]) if one.get(kind) else "-" for one in scores)]
        for kind, name in KINDS
        if any(one.get(kind) for one in scores)
    ]


def _site_scores(record: Record, name: str) -> Mapping[str, Any]:
    sites = (record.result or {}).get("sites", {})
    return (sites.get(name, {}).get("metrics") or {}).get("test") or {}


def _cost(pair: Pair) -> Html:
    ledgers = [(record.result or {}).get("ledger", {}) for record in pair]
    rows = [
        [name, *(count_text(ledger[key]) if key in ledger else "-" for ledger in ledgers)]
        for key, name in _LEDGER.items()
        if any(key in ledger for ledger in ledgers)
    ]
    if not rows:
        return Html()
    caption = "Tuning, choosing and the final evaluation, all of it"
    return section("What it cost", _table(pair, caption, rows))


def _settings(pair: Pair) -> Html:
    settings = [dict(_flat(record.config)) for record in pair]
    keys = dict.fromkeys([*settings[0], *settings[1]])
    rows = [
        [key, *(_shown(values.get(key, "-")) for values in settings)]
        for key in keys
        if key != "run.dir" and settings[0].get(key) != settings[1].get(key)
    ]
    title = "Settings that differ"
    if not rows:
        return section(title, paragraph("None."))
    return section(title, _table(pair, "Keys of the configuration", rows))


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _shown(value: Any) -> str:
    """Return a value as text, of a path the last part."""
    return re.sub(r"^(?:/|[A-Za-z]:\\|\\\\|~).*[/\\]", "…/", str(value))


def _prompts(pair: Pair) -> Html:
    blocks = []
    for name in list(pair[0].parts)[:_SITES]:
        prompts = [record.parts[name].prompt if name in record.parts else None for record in pair]
        if prompts[0] is not None and prompts[1] is not None:
            first, second = (prompt.outline() for prompt in prompts if prompt is not None)
            blocks += [tag("h3", f"At {name}"), _difference(first, second)]
    if not blocks:
        return Html()
    text = "Struck out is what only the first run has, underlined what only the second has."
    return section("The tuned prompts", paragraph(text), *blocks)


def _difference(first: str, second: str) -> Html:
    """Return both texts in one, by words."""
    one, other = (re.findall(r"\s+|\S+", text) for text in (first, second))
    parts: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append("".join(one[a:b]))
            continue
        parts += [tag("del", "".join(one[a:b]))] if b > a else []
        parts += [tag("ins", "".join(other[c:d]))] if d > c else []
    return tag("pre", *parts, tabindex="0")
