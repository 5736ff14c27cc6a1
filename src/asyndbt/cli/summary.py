"""What a finished run found, as plain text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyndbt.cli.figures import score_text

if TYPE_CHECKING:
    from asyndbt.run import Result

__all__ = ["accuracy_table", "border", "calls", "outcome", "prompts"]

_COLUMNS = (("plain", "plain"), ("random_icl", "random demonstrations"), ("tuned", "tuned"))
_SITES = 20
"""Most sites that are listed; the rest is in the record."""


def outcome(result: Result) -> str:
    """Return the short account that ends every run: accuracy, calls, files, what to type next."""
    directory = shlex.quote(str(result.directory))
    lines = [
        f"Done: {result.data['stop_reason']}, after {result.data['iterations']} steps.",
        *(f"Warning: {text}" for text in result.data["warnings"]),
        "",
        accuracy_table(result.data["metrics"]),
        "",
        calls(result.data["ledger"]),
        f"Record: {directory}",
        f"Next: asyndbt predict {directory} --input FILE",
    ]
    return "\n".join(lines)


def accuracy_table(metrics: Mapping[str, Any]) -> str:
    """Return accuracies on test data with 95 % intervals, per site and overall.

    Parameters
    ----------
    metrics : mapping
        ``metrics`` of ``result.json``.
    """
    overall = metrics.get("test")
    if not overall:
        return "No accuracy was measured: there is no test data (data.test)."
    sites = {name: of["test"] for name, of in metrics.get("sites", {}).items() if of.get("test")}
    rows = [["accuracy on test data", *(title for _, title in _COLUMNS), "n"]]
    rows += [_row(name, sites[name]) for name in list(sites)[:_SITES]]
    rows += [_row("all sites", overall)] if len(sites) != 1 else []
    lines = [*_aligned(rows), "In brackets: 95 % intervals."]
    if len(sites) > _SITES:
        lines.insert(-2, f"... and {len(sites) - _SITES} more in result.json")
    return "\n".join(lines)


def calls(ledger: Mapping[str, Any]) -> str:
    """Return what the run asked of the language model."""
    money = f", {ledger['money']:.2f} of money" if ledger["money"] else ""
    return (
        f"Calls: {ledger['calls']:,} (and {ledger['cached']:,} answers from the cache), "
        f"{ledger['tokens_in']:,} tokens sent, {ledger['tokens_out']:,} received{money}: "
        "all of it, tuning, choosing and the table above."
    )


def prompts(result: Result, sites: Sequence[str], fields: Sequence[str]) -> str:
    """Return the tuned prompt of each site as text, with the fields where the query goes."""
    query = {name: f"{{{name}}}" for name in fields}
    parts = [f"Prompt of {site}:\n\n{_text(result.prompt(site), query)}" for site in sites[:_SITES]]
    return "\n\n".join(parts)


def border(directory: Path, start: Mapping[str, Any]) -> str:
    """Return what left each site.

    Parameters
    ----------
    directory : Path
        Of the run.
    start : mapping
        Data of the event "start".
    """
    size = f"{start['positions']} x {start['words']}" if start else "positions x words"
    return (
        f"What left each site: its probabilities of the shared words ({size} numbers) with mean "
        f"losses, accuracies and counts, step by step.\nNo text, label, demonstration, prompt or "
        f"answer. Messages and bytes: {directory / 'traffic.json'}"
    )


def _row(name: str, scores: Mapping[str, Any]) -> list[str]:
    counts = [scores[key]["n"] for key, _ in _COLUMNS if scores.get(key)]
    cells = [score_text(scores.get(key)) for key, _ in _COLUMNS]
    return [name, *cells, str(max(counts, default=0))]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "   ".join([first.ljust(widths[0]), *cells])


def _text(prompt: Any, query: Mapping[str, str]) -> str:
    text: str = prompt.render(**query).text
    return "\n".join(f"    {line}" for line in text.splitlines())
