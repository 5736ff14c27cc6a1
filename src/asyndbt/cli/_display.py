"""Displays of a running run: none, JSON lines, plain lines, or a live table in a terminal.

Each is an observer of the run (see ``asyndbt.run``) and a context manager around it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyndbt._text import counted, duration, percent
from asyndbt.cli._streams import json_line
from asyndbt.run import Event

_LINES = 40
"""Most lines for the steps of a run whose limit is known."""
_ROWS = 12
"""Most sites in the live table; if there are more, the stalest come first."""


class Display:
    """Shows nothing; the base class of the displays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Show the result, after everything else."""


class JsonLines(Display):
    """One JSON object per line, as in ``events.jsonl``; the result is the last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._elapsed = 0.0

    def __call__(self, event: Event) -> None:
        self._elapsed = event.elapsed
        if event.kind != "result":
            self._print(event.kind, event.data)

    def finish(self, result: Mapping[str, Any]) -> None:
        self._print("result", result)

    def _print(self, kind: str, data: Mapping[str, Any]) -> None:
        line = {"kind": kind, "elapsed": round(self._elapsed, 3), **_finite(dict(data))}
        self._stream.write(json_line(line, self._stream))
        self._stream.flush()


def _finite(value: Any) -> Any:
    """Replace numbers that JSON lacks by None: a display must not end the run."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


class LatestMetrics:
    """The latest metrics of every site: a step brings those of its active sites only.

    Examples
    --------
    >>> latest = LatestMetrics()
    >>> latest.update({"loss": {"a": 0.5}, "validation": {"a": {"accuracy": 1.0, "n": 10}}})
    >>> latest.update({"loss": {"b": 1.0}, "validation": {"b": {"accuracy": 0.5, "n": 30}}})
    >>> latest.mean("loss", 3), latest.validation_accuracy()
    ('0.750', '62.5 % (40)')
    """

    def __init__(self) -> None:
        self.sites: dict[str, dict[str, Any]] = {}

    def update(self, step: Mapping[str, Any]) -> None:
        """Update from the data of an event "step"."""
        for name in ("staleness", "loss", "validation", "entropy_q", "calls"):
            for site, value in step.get(name, {}).items():
                self.sites.setdefault(site, {})[name] = value

    def mean(self, name: str, digits: int) -> str:
        values = self._values(name)
        return f"{sum(values) / len(values):.{digits}f}" if values else "-"

    def validation_accuracy(self) -> str:
        """Return the accuracy over the validation examples of all sites, and their number."""
        scores = self._values("validation")
        n = sum(score["n"] for score in scores)
        correct = sum(score["accuracy"] * score["n"] for score in scores)
        return f"{percent(correct / n)} ({n})" if n else "-"

    def most_stale(self) -> str:
        """Return the largest staleness in steps, and its site."""
        staleness = {name: site.get("staleness") or 0 for name, site in self.sites.items()}
        slowest = max(staleness, key=lambda name: staleness[name], default="")
        return f"{staleness[slowest]} ({slowest})" if slowest and staleness[slowest] else "0"

    def _values(self, name: str) -> list[Any]:
        values = (site.get(name) for site in self.sites.values())
        return [value for value in values if value is not None]


class PlainLines(Display):
    """A line every few seconds, and at most about 40 for the steps of a run."""

    seconds = 2.0

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._began = clock()
        self._printed = -math.inf
        self._share = 0.0
        self._quorum: int | str = "-"
        self._latest = LatestMetrics()

    def __call__(self, event: Event) -> None:
        data = event.data
        if event.kind == "step":
            self._latest.update(data)
        match event.kind:
            case "start":
                self._quorum = data["quorum"]
                self._print(_start_text(data))
            case "step" if self._is_due(data):
                self._print(_step_text(data, self._latest, self._quorum))
            case "phase" if data["phase"] != "done":
                self._print(f"{data['phase']} ...")
            case "warning":
                self._print(f"warning: {data['text']}")
            case "gone" | "back" | "joined" | "refused" | "banned":
                details = ", ".join(f"{name} {value}" for name, value in data.items())
                self._print(f"{event.kind}: {details}")

    def _is_due(self, data: Mapping[str, Any]) -> bool:
        now, limit = self._clock(), data.get("calls_limit")
        share = data["calls_total"] / limit if limit else None
        # Without a limit the end is not known, and the intervals grow with the run's age.
        pause = self.seconds if share is not None else max(self.seconds, (now - self._began) / 6)
        if now - self._printed < pause:
            return False
        if share is not None and self._printed > -math.inf and share < self._share + 1 / _LINES:
            return False
        self._printed, self._share = now, share or 0.0
        return True

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _start_text(data: Mapping[str, Any]) -> str:
    sites = data["sites"]
    names = ", ".join(list(sites)[:8]) + (", ..." if len(sites) > 8 else "")
    tuned = f"{counted(data['positions'], 'word')} of {data['words']:,}, "
    tuned += counted(data["slots"], "demonstration")
    if data["candidates"]:
        tuned += f" of {counted(data['candidates'], 'candidate')}"
    return (
        f"tuning for {data['model']}: {counted(len(sites), 'site')} ({names}), "
        f"quorum {data['quorum']}, "
        f"{tuned}, preset {data['preset']}, seed {data['seed']}\nrecord: {data['directory']}"
    )


def _step_text(data: Mapping[str, Any], latest: LatestMetrics, quorum: int | str) -> str:
    limit = f" of {data['calls_limit']:,} for tuning" if data.get("calls_limit") else ""
    parts = [
        f"server step {data['iteration']}",
        f"sites {len(data['active'])} (quorum {quorum})",
        f"behind {latest.most_stale()}",
        f"loss {latest.mean('loss', 3)}",
        f"validation {latest.validation_accuracy()}",
        f"entropy p {data['entropy_p']:.2f} q {latest.mean('entropy_q', 2)}",
    ]
    if data["calls_total"]:
        parts.append(f"calls {data['calls_total']:,}{limit}")
    if data["gone"]:
        parts.append(f"gone: {', '.join(data['gone'])}")
    if data.get("seconds_left") is not None:
        parts.append(f"{duration(data['seconds_left'])} left")
    return "  ".join(parts)


class LiveDisplay(Display):
    """A table of the sites that is redrawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._start: Mapping[str, Any] = {}
        self._step: Mapping[str, Any] = {}
        self._phase = "preparing"
        self._latest = LatestMetrics()
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        data = event.data
        match event.kind:
            case "start":
                self._start, self._phase = data, "tuning"
                self._latest.sites = {name: {} for name in data["sites"]}
            case "step":
                self._step, self._phase = data, data.get("phase", "tuning")
                self._latest.update(data)
            case "phase":
                self._phase = data["phase"]
            case "warning":
                self._console.print(Text(f"warning: {data['text']}", style="yellow"))

    def _render(self) -> Group:
        if not self._step:
            return Group(self._head())
        return Group(self._head(), self._table(), self._foot(), self._bar())

    def _head(self) -> Text:
        text, start = Text(self._phase, style="bold"), self._start
        if start:
            text.append(
                f"  {start['model']}, preset {start['preset']}, mode {start['mode']}, "
                f"seed {start['seed']}",
                style="not bold",
            )
        return text

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("site")
        for title in ("", "behind", "loss", "validation", "entropy q", "calls"):
            table.add_column(title, justify="right")
        sites = self._latest.sites
        names = list(sites)
        if len(names) > _ROWS:
            names.sort(key=lambda site: -sites[site].get("staleness", 0))
        for site in names[:_ROWS]:
            table.add_row(Text(site), *self._row(site))
        if len(names) > _ROWS:
            table.add_row(Text(f"... and {len(names) - _ROWS} more", style="dim"))
        return table

    def _row(self, site: str) -> list[str]:
        metrics, step = self._latest.sites[site], self._step
        state = "gone" if site in step["gone"] else "active" if site in step["active"] else ""
        score, loss, entropy = (metrics.get(name) for name in ("validation", "loss", "entropy_q"))
        return [
            state,
            str(metrics.get("staleness", 0)),
            "-" if loss is None else f"{loss:.3f}",
            f"{percent(score['accuracy'])} ({score['n']})" if score else "-",
            "-" if entropy is None else f"{entropy:.2f}",
            f"{metrics.get('calls', 0):,}",
        ]

    def _foot(self) -> Text:
        step, latest = self._step, self._latest
        active = f"{len(step['active'])} of {counted(len(latest.sites), 'site')}"
        return Text(
            f"server step {step['iteration']} ({active}, quorum {self._start.get('quorum', '-')})"
            f"  loss {latest.mean('loss', 3)}  validation {latest.validation_accuracy()}\n"
            f"entropy p {step['entropy_p']:.2f}  planes {step['planes']}"
            f"  distance to consensus {step['consensus_distance']:.3f}"
        )

    def _bar(self) -> Table:
        step, row = self._step, Table.grid(padding=(0, 1))
        calls, limit = step["calls_total"], step.get("calls_limit")
        left = step.get("seconds_left")
        row.add_row(
            ProgressBar(total=limit, completed=calls, width=40) if limit else "",
            f"{calls:,} of {counted(limit, 'call')} for tuning"
            if limit
            else counted(calls, "call"),
            "" if left is None else f"{duration(left)} left",
        )
        return row
