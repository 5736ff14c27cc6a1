"""What a run cost, and what left each site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from asyndbt.federation import Message, Spent
from asyndbt.federation import _messages as messages
from asyndbt.report._html import (
    Html,
    count_text,
    exact,
    paragraph,
    section,
    size_text,
    some,
    table,
    tag,
    tidy,
)
from asyndbt.report._record import Record

__all__ = ["border_section", "costs_section"]

_MEANING = {
    "calls": "calls charged to the budget",
    "sent": "requests that reached the provider",
    "cached": "answers from the cache, asked again for nothing",
    "failed": "prompts given up without an answer",
    "refused": "prompts that the provider will not answer",
    "unparsed": "answers that name no label",
    "tokens_in": "tokens sent",
    "tokens_out": "tokens received",
    "money": "money, in the currency of the prices",
}
_SITES = 40


def costs_section(record: Record) -> Html:
    """Return calls, tokens and money, in all and per site."""
    ledger = (record.result or {}).get("ledger") or _so_far(record)
    if not ledger:
        return Html()
    rows = [
        (meaning, tidy_money(ledger[key]) if key == "money" else count_text(ledger[key]))
        for key, meaning in _MEANING.items()
        if key in ledger
    ]
    if "sent" in ledger:
        unpaid = max(0, ledger["sent"] - ledger["calls"])
        rows.insert(
            2, ("of these, sent without an answer and for nothing (retries)", count_text(unpaid))
        )
    said = "Tuning, choosing and the final evaluation, all of it" if record.result else "So far"
    return section(
        "What it cost", table(said, ["what", "number"], rows), _by_site(record), *_probe(record)
    )


def tidy_money(value: float) -> Html:
    """Return an amount of money."""
    return exact(value, tidy(value))


def _so_far(record: Record) -> dict[str, float]:
    """Add up what the sites have said; less than the budget was charged for, during a step."""
    spent = [dict(zip(Spent.__slots__, member["spent"], strict=True)) for member in record.roster]
    return {key: sum(one[key] for one in spent) for key in _MEANING} if spent else {}


def _probe(record: Record) -> Iterator[Html]:
    probe = (record.model or {}).get("probe") or {}
    if probe.get("calls"):
        calls = some(probe["calls"], "call")
        yield paragraph(f"Of these, {calls} went into finding out what the model can do.")


def _by_site(record: Record) -> Html:
    if len(record.roster) < 2:
        return Html()
    rows = []
    for member in record.roster[:_SITES]:
        spent = dict(zip(Spent.__slots__, member["spent"], strict=True))
        numbers = [count_text(spent[key]) for key in ("calls", "cached", "failed")]
        tokens = count_text(spent["tokens_in"] + spent["tokens_out"])
        rows.append([member["name"], *numbers, tokens, tidy_money(spent["money"])])
    head = ["site", "calls", "cached", "failed", "tokens", "money"]
    return table("By site, as the sites have said", head, rows)


def border_section(record: Record) -> Html:
    """Return the kinds, counts, bytes and fields of all messages, and each site's total."""
    if not record.traffic:
        return Html()
    return section(
        "What left each site",
        paragraph(
            "Numbers only: no message has a field for a text, a label, a demonstration, a prompt "
            "or an answer, nor for the policy over demonstrations."
        ),
        table(
            "Messages of all sites; out is from a site to the coordinator",
            ["message", "way", "fields", "messages", "bytes"],
            _kinds(record),
            class_="messages",
            texts=3,
        ),
        table(
            "By site",
            ["site", "messages out", "bytes out", "messages in", "bytes in"],
            _totals(record),
        ),
    )


def _kinds(record: Record) -> Iterator[list[str]]:
    sums: dict[str, list[int]] = {}
    for kinds in record.traffic.values():
        for kind, (number, length) in kinds.items():
            total = sums.setdefault(kind, [0, 0])
            total[0] += number
            total[1] += length
    for kind in sorted(sums, key=lambda kind: (not kind.startswith("out"), kind)):
        way, _, name = kind.partition(" ")
        number, length = sums[kind]
        yield [name, way, _fields(name), count_text(number), size_text(length)]


def _fields(kind: str) -> Html:
    """Name the fields of a message, in order."""
    known: type[Message] | None = getattr(messages, kind, None)
    names = [field.name for field in fields(known)] if known is not None else []
    return tag("small", ", ".join(names) or "unknown")


def _totals(record: Record) -> Iterator[list[str]]:
    for name, kinds in list(record.traffic.items())[:_SITES]:
        cells: list[str] = [name]
        for way in ("out ", "in "):
            cells += _sums(kinds, way)
        yield cells


def _sums(kinds: Mapping[str, Any], way: str) -> list[str]:
    counted = [pair for kind, pair in kinds.items() if kind.startswith(way)]
    return [
        count_text(sum(pair[0] for pair in counted)),
        size_text(sum(pair[1] for pair in counted)),
    ]
