"""What a finished run found, as plain text.

How figures are written on the screen.
"""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

__all__ = [
    "Latest",
    "accuracy_table",
    "border_text",
    "calls_text",
    "clock_text",
    "outcome_text",
    "percent",
    "prompts_text",
    "score_text",
]

if TYPE_CHECKING:
    from asyndbt.run import Result


_COLUMNS = (("plain", "plain"), ("random_icl", "random demonstrations"), ("tuned", "tuned"))
_SITES = 20
"""Most sites that are listed; the rest is in the record."""


def outcome_text(result: Result) -> str:
    """Return the short account that ends every run: accuracy, calls, files, what to type next."""
    directory, sites = shlex.quote(str(result.directory)), result.sites
    site = f" --site {shlex.quote(sites[0])}" if len(sites) > 1 else ""
    lines = [
        f"Done: {result.data['stop_reason']}, after {result.data['iterations']} steps.",
        *(f"Warning: {text}" for text in result.data["warnings"]),
        "",
        accuracy_table(result.data),
        "",
        calls_text(result.data["ledger"]),
        f"Record: {directory}",
        f"Next: asyndbt predict {directory} --input FILE{site}"
        if sites
        else "The tuned prompts are at the sites, each in its state directory, below runs/",
    ]
    return "\n".join(lines)


def accuracy_table(data: Mapping[str, Any]) -> str:
    """Return accuracies on test data with 95 % intervals, per site and overall.

    Parameters
    ----------
    data : mapping
        The content of ``result.json``.
    """
    overall = data["metrics"]["test"]
    if not any(overall.values()):
        return "No accuracy was measured: there is no test data (data.test)."
    sites = {name: site["metrics"]["test"] for name, site in data["sites"].items()}
    rows = [["accuracy on test data", *(title for _, title in _COLUMNS), "n"]]
    rows += [_row(name, sites[name]) for name in list(sites)[:_SITES]]
    rows += [_row("all sites", overall)] if len(sites) != 1 else []
    lines = [*_aligned(rows), "In brackets: 95 % intervals."]
    if len(sites) > _SITES:
        lines.insert(-2, f"... and {len(sites) - _SITES} more in result.json")
    return "\n".join(lines)


def calls_text(ledger: Mapping[str, Any], more: str = "") -> str:
    """Return what the run asked of the language model, and what `more` there is to say of it."""
    money = f", {ledger['money']:,.4g} of money" if ledger["money"] else ""
    failed = f"; {ledger['failed']:,} requests failed" if ledger.get("failed") else ""
    return _wrapped(
        f"Calls: {ledger['calls']:,} (and {ledger['cached']:,} answers from the cache), "
        f"{ledger['tokens_in']:,} tokens sent, {ledger['tokens_out']:,} received{money}{failed}. "
        f"That is all of it: tuning, choosing, and the final evaluation.{more}"
    )


def prompts_text(result: Result, fields: Sequence[str]) -> str:
    """Return the tuned prompt of each site as text, with the fields where the query goes."""
    query = {name: f"{{{name}}}" for name in fields}
    parts = []
    for site in result.sites[:_SITES]:
        text = result.prompt(site).render(**query).text
        parts.append(f"Prompt of {site}:\n\n{textwrap.indent(text, '    ')}")
    return "\n\n".join(parts)


def border_text(directory: Path, start: Mapping[str, Any]) -> str:
    """Return what left each site.

    Parameters
    ----------
    directory : Path
        Of the run.
    start : mapping
        Data of the event "start".
    """
    size = f" ({start['positions']} x {start['words']} numbers)" if start else ""
    said = (
        f"What left each site: its probabilities of the shared words{size}, step by step, and mean "
        "losses, accuracies and counts. No text, label, demonstration, prompt or answer."
    )
    return "\n".join([_wrapped(said), *_traffic(directory / "traffic.json")])


def _traffic(file: Path) -> Iterator[str]:
    if not file.exists():
        return
    for site, kinds in list(json.loads(file.read_text("utf-8")).items())[:_SITES]:
        out = [counted for kind, counted in kinds.items() if kind.startswith("out ")]
        messages, size = (sum(column) for column in zip(*out, strict=True)) if out else (0, 0)
        yield f"    {site}: {messages:,} messages, {size:,} bytes"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 96, break_on_hyphens=False, break_long_words=False)


def _row(name: str, scores: Mapping[str, Any]) -> list[str]:
    counts = [scores[key]["n"] for key, _ in _COLUMNS if scores.get(key)]
    cells = [score_text(scores.get(key)) for key, _ in _COLUMNS]
    return [name, *cells, str(max(counts, default=0))]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "   ".join([first.ljust(widths[0]), *cells])


def percent(share: float) -> str:
    """Write a share.

    Examples
    --------
    >>> percent(0.8749)
    '87.5 %'
    """
    return f"{100 * share:.1f} %"


def score_text(score: Mapping[str, Any] | None) -> str:
    """Write an accuracy with its 95 % interval.

    Examples
    --------
    >>> score_text({"accuracy": 0.875, "interval": [0.8, 0.92], "n": 120})
    '87.5 % [80.0, 92.0]'
    """
    if not score:
        return "-"
    low, high = score["interval"]
    return f"{percent(score['accuracy'])} [{100 * low:.1f}, {100 * high:.1f}]"


def clock_text(seconds: float) -> str:
    """Write a length of time.

    Examples
    --------
    >>> clock_text(59), clock_text(125), clock_text(7384)
    ('59 s', '2 min 05 s', '2 h 03 min')
    """
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_rest = divmod(minutes, 60)
    return f"{hours} h {minutes_rest:02} min" if hours else f"{minutes} min {rest:02} s"


class Latest:
    """The latest figures of every site: at one step, only the active ones have new ones.

    Examples
    --------
    >>> latest = Latest()
    >>> latest.take({"loss": {"a": 0.5}, "validation": {"a": {"accuracy": 1.0, "n": 10}}})
    >>> latest.take({"loss": {"b": 1.0}, "validation": {"b": {"accuracy": 0.5, "n": 30}}})
    >>> latest.mean_loss(), latest.validation_accuracy()
    ('0.750', '62.5 %')
    """

    def __init__(self) -> None:
        self.sites: dict[str, dict[str, Any]] = {}

    def take(self, step: Mapping[str, Any]) -> None:
        """Take in the data of a step."""
        for name in ("staleness", "loss", "validation", "entropy_q", "calls"):
            for site, value in step.get(name, {}).items():
                self.sites.setdefault(site, {})[name] = value

    def mean_loss(self) -> str:
        """Return the mean of the sites' losses."""
        losses = self._all("loss")
        return f"{sum(losses) / len(losses):.3f}" if losses else "-"

    def validation_accuracy(self) -> str:
        """Return the accuracy over the validation examples of all sites."""
        looks = self._all("validation")
        count = sum(look["n"] for look in looks)
        right = sum(look["accuracy"] * look["n"] for look in looks)
        return percent(right / count) if count else "-"

    def mean_entropy(self) -> str:
        """Return the mean of the entropies of the sites' demonstration policies, nats."""
        entropies = self._all("entropy_q")
        return f"{sum(entropies) / len(entropies):.2f}" if entropies else "-"

    def most_stale(self) -> str:
        """Return how many steps the site that lags most is behind, and its name."""
        behind = {name: site.get("staleness") or 0 for name, site in self.sites.items()}
        slowest = max(behind, key=lambda name: behind[name], default="")
        return f"{behind[slowest]} ({slowest})" if slowest and behind[slowest] else "0"

    def _all(self, name: str) -> list[Any]:
        found = (site.get(name) for site in self.sites.values())
        return [value for value in found if value is not None]
