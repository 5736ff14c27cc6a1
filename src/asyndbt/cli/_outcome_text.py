"""The result of a finished run as plain text."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyndbt._measure import costs_text, measure_of, share_of, words_of
from asyndbt._text import counted, part_of, percent, percent_range, untested_text
from asyndbt.baselines import methods
from asyndbt.run import AsynDBT, Result, recorded_liars

_COLUMNS = (("plain", "plain"), ("random_icl", "random demonstrations"), ("tuned", "tuned"))
_SITES = 20
"""Most sites that are listed."""


def outcome_text(result: Result, warnings: Sequence[str]) -> str:
    """Return the summary that ends every run: accuracy, calls, files, the next command."""
    data, sites = result.data, result.sites
    directory = shlex.quote(str(result.directory))
    site = f" --site {shlex.quote(sites[0])}" if len(sites) > 1 else ""
    lines = [
        _end_text(data),
        *(f"Warning: {text}" for text in warnings),
        "",
        accuracy_table(data),
        "",
        calls_text(data["ledger"]),
        *_judge_text(data.get("judge")),
        *_hints_text(data.get("hints")),
        f"Record: {directory}",
        f"Next: asyndbt predict {directory} --input FILE{site}"
        if sites
        else "The tuned prompts are at the sites, each in its state directory, below runs/",
    ]
    return "\n".join(lines)


def _end_text(data: Mapping[str, Any]) -> str:
    """Say why and when tuning ended; a baseline's end has no reason, and it has no server."""
    method = methods().get(data.get("method", AsynDBT.name), AsynDBT)
    if issubclass(method, AsynDBT):
        return f"Done: {data['stop_reason']}, after {counted(data['iterations'], 'server step')}."
    return f"Done: {method.name}, after {counted(data['iterations'], 'iteration')}."


def accuracy_table(data: Mapping[str, Any]) -> str:
    """Return the test accuracies in a ``result.json`` with 95 % intervals, by site and overall."""
    overall = data["metrics"]["test"]
    if not any(overall.values()):
        return untested_text(data)
    sites = {name: site["metrics"]["test"] for name, site in data["sites"].items()}
    measure = words_of(measure_of(overall.values()))
    rows = [[f"{measure} on test data", *(title for _, title in _COLUMNS), "n"]]
    given = {name: site.get("test_examples") for name, site in data["sites"].items()}
    liars = recorded_liars(data)
    rows += [
        _row(f"{name} (lies)" if name in liars else name, sites[name], given[name])
        for name in list(sites)[:_SITES]
    ]
    if len(sites) != 1:
        rows += [
            _row("honest sites" if liars else "all sites", overall, data.get("test_examples")),
            _median_row(overall, len(sites) - len(liars)),
        ]
    costs = costs_text(overall, dict(_COLUMNS))
    notes = " ".join(filter(None, ["In brackets: 95 % intervals.", costs]))
    lines = [*_aligned(rows), notes]
    if len(sites) > _SITES:
        lines.insert(-3, f"... and {len(sites) - _SITES} more in result.json")
    return "\n".join(lines)


def _row(name: str, scores: Mapping[str, Any], given: int | None) -> list[str]:
    cells = [_score_text(scores.get(key)) for key, _ in _COLUMNS]
    return [name, *cells, _examples_text(scores, given)]


def _examples_text(scores: Mapping[str, Any], given: int | None) -> str:
    """Return the number of examples, of every column where they differ."""
    counts = [scores[key]["n"] for key, _ in _COLUMNS if scores.get(key)]
    *first, last = counts if len(set(counts)) > 1 else [max(counts, default=0)]
    return "".join(f"{count:,}, " for count in first) + part_of(last, given)


def _median_row(overall: Mapping[str, Any], sites: int) -> list[str]:
    """Return the row of the medians over the sites, which no single site can move far."""
    found = [(overall.get(key) or {}).get("site_median") for key, _ in _COLUMNS]
    return [
        "median of sites",
        *("-" if each is None else percent(each) for each in found),
        f"{sites} sites",
    ]


def _score_text(score: Mapping[str, Any] | None) -> str:
    if not score:
        return "-"
    return f"{percent(share_of(score))} [{percent_range(score['interval'])}]"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "   ".join([first.ljust(widths[0]), *cells])


def calls_text(ledger: Mapping[str, Any], more: str = "") -> str:
    """Return the calls of a run, followed by the sentence `more`."""
    money = f", {ledger['money']:,.4g} of money" if ledger["money"] else ""
    failed = f"; {counted(ledger['failed'], 'request')} failed" if ledger.get("failed") else ""
    return wrapped(
        f"Calls: {ledger['calls']:,} (and {counted(ledger['cached'], 'answer')} from the cache), "
        f"{counted(ledger['tokens_in'], 'token')} sent, {ledger['tokens_out']:,} received"
        f"{money}{failed}. That is all of it: tuning, choosing, and the final evaluation.{more}"
    )


def _judge_text(judge: Mapping[str, Any] | None) -> Iterator[str]:
    if judge is not None:
        ledger = judge["ledger"]
        money = f", {ledger['money']:,.4g} of money" if ledger["money"] else ""
        yield wrapped(
            f"Judge: {counted(ledger['calls'], 'call')}, {counted(ledger['tokens_in'], 'token')} "
            f"sent, {ledger['tokens_out']:,} received{money}. They are beside the others."
        )


def _hints_text(hints: Mapping[str, Any] | None) -> Iterator[str]:
    if hints is not None:
        sites = hints["sites"].values()
        written, copied, calls = (
            sum(site[key] for site in sites) for key in ("written", "copied", "calls")
        )
        yield wrapped(
            f"Hints: {counted(hints['vocabulary'], 'hint')} to choose from, of {written:,} that "
            f"the model wrote, for {counted(calls, 'call')} of these; {copied:,} repeat texts of "
            "their sites and stayed there."
        )


def prompts_text(result: Result, fields: Sequence[str]) -> str:
    """Return the tuned prompt of each site, with the names of `fields` in place of a query."""
    query = {name: f"{{{name}}}" for name in fields}
    parts = []
    for site in result.sites[:_SITES]:
        text = result.prompt(site).outline().format(**query)
        parts.append(f"Prompt of {site}:\n\n{textwrap.indent(text, '    ')}")
    return "\n\n".join(parts)


def border_text(directory: Path, start: Mapping[str, Any]) -> str:
    """Return what left each site of a run, `start` being the data of its event "start"."""
    size = f" ({start['positions']} x {start['words']} numbers)" if start else ""
    text = (
        f"What left each site: its probabilities of the shared words{size}, step by step, the "
        "words that it would choose itself, and mean losses, entropies, accuracies and counts. No "
        "text, label, demonstration, prompt or answer."
    )
    return "\n".join([wrapped(text), *_traffic(directory / "traffic.json")])


def _traffic(file: Path) -> Iterator[str]:
    if not file.exists():
        return
    for site, kinds in list(json.loads(file.read_text("utf-8")).items())[:_SITES]:
        out = [totals for kind, totals in kinds.items() if kind.startswith("out ")]
        messages, size = (sum(column) for column in zip(*out, strict=True)) if out else (0, 0)
        yield f"    {site}: {counted(messages, 'message')}, {counted(size, 'byte')}"


def wrapped(text: str) -> str:
    """Return a paragraph in lines that fit a terminal."""
    return textwrap.fill(text, 96, break_on_hyphens=False, break_long_words=False)
