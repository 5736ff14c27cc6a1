"""What a run cost, and what left each site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from asyndbt._html import (
    Html,
    count_text,
    exact,
    paragraph,
    section,
    size_text,
    table,
    tag,
    tidy,
)
from asyndbt._text import counted
from asyndbt.federation import Message
from asyndbt.report._record import Record
from asyndbt.scoring import Spent

_MEANING = {
    "calls": "calls charged to the budget",
    "sent": "requests that reached the provider",
    "cached": "answers from the cache, free of charge",
    "failed": "prompts given up without an answer",
    "refused": "prompts that the provider will not answer",
    "unparsed": "answers that name no label",
    "tokens_in": "tokens sent",
    "tokens_out": "tokens received",
    "money": "money, in the currency of the prices",
}
_SITES = 40


def costs_section(record: Record) -> Html:
    spent = [dict(zip(Spent.__slots__, member["spent"], strict=True)) for member in record.roster]
    ledger = (record.result or {}).get("ledger")
    if ledger is None and spent:
        # In the middle of a step, the sites have not reported all that the budget was charged.
        ledger = {key: sum(one[key] for one in spent) for key in _MEANING}
    if not ledger:
        return Html()
    rows = [
        (meaning, _amount(key, ledger[key]))
        for key, meaning in _meanings(record).items()
        if key in ledger
    ]
    if "sent" in ledger:
        retries = max(0, ledger["sent"] - ledger["calls"])
        rows.insert(2, ("of these, unanswered and free of charge (retries)", count_text(retries)))
    caption = "Tuning, choosing and the final evaluation, all of it" if record.result else "So far"
    return section(
        "What it cost",
        table(caption, ["what", "number"], rows),
        _by_site([member["name"] for member in record.roster], spent),
        _detection(record),
        _judge(record),
    )


def _meanings(record: Record) -> dict[str, str]:
    texts = record.measure == "mean_reward"
    return _MEANING | ({"unparsed": "blank answers"} if texts else {})


def _judge(record: Record) -> Html:
    """Return what a judge was asked and cost, beside all else."""
    found = (record.result or {}).get("judge")
    if found is None:
        return Html()
    names = ("calls", "cached", "failed", "tokens_in", "tokens_out", "money")
    rows = [(_MEANING[name], _amount(name, found["ledger"][name])) for name in names]
    return table(f"The judge, {found['model']['model']}, beside all that", ["what", "number"], rows)


def _amount(key: str, value: float) -> Html:
    return exact(value, tidy(value)) if key == "money" else count_text(value)


def _by_site(names: list[str], spent: list[dict[str, float]]) -> Html:
    if len(names) < 2:
        return Html()
    rows = [
        [
            name,
            *(count_text(one[key]) for key in ("calls", "cached", "failed")),
            count_text(one["tokens_in"] + one["tokens_out"]),
            _amount("money", one["money"]),
        ]
        for name, one in list(zip(names, spent, strict=True))[:_SITES]
    ]
    head = ["site", "calls", "cached", "failed", "tokens", "money"]
    return table("By site, as reported by the sites", head, rows)


def _detection(record: Record) -> Html:
    calls = ((record.model or {}).get("probe") or {}).get("calls")
    text = f"Of these, {counted(calls or 0, 'call')} found out what the model can do."
    return paragraph(text) if calls else Html()


def traffic_section(record: Record) -> Html:
    """Return the messages by kind and by site: their number, bytes and fields."""
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
            _by_kind(record),
            class_="messages",
            texts=3,
        ),
        table(
            "By site",
            ["site", "messages out", "bytes out", "messages in", "bytes in"],
            (
                [name, *_one_way(kinds, "out "), *_one_way(kinds, "in ")]
                for name, kinds in list(record.traffic.items())[:_SITES]
            ),
        ),
    )


def _by_kind(record: Record) -> Iterator[list[str]]:
    known = dict(_message_fields(Message))
    totals: dict[str, list[tuple[int, int]]] = {}
    for site in record.traffic.values():
        for kind, total in site.items():
            totals.setdefault(kind, []).append(total)
    for kind in sorted(totals, key=lambda kind: (not kind.startswith("out"), kind)):
        way, _, name = kind.partition(" ")
        content = ", ".join(known.get(name, ())) or "unknown"
        yield [name, way, tag("small", content), *_sums(totals[kind])]


def _message_fields(base: type[Message]) -> Iterator[tuple[str, list[str]]]:
    """Yield every kind of message with the names of its fields, in order."""
    for kind in base.__subclasses__():
        yield kind.__name__, [field.name for field in fields(kind)]
        yield from _message_fields(kind)


def _one_way(kinds: Mapping[str, Any], way: str) -> list[Html]:
    return _sums([total for kind, total in kinds.items() if kind.startswith(way)])


def _sums(totals: Sequence[tuple[int, int]]) -> list[Html]:
    """Add up pairs of messages and bytes."""
    messages, length = (sum(column) for column in zip((0, 0), *totals, strict=True))
    return [count_text(messages), size_text(length)]
