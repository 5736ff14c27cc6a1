"""Displays of a run that goes on: plain lines, JSON lines, or nothing.

Each is an observer of the run (see ``asyndbt.run``) and a context manager around it.

The live display of a run in a terminal.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyndbt.cli._text import Latest, clock_text, percent
from asyndbt.run import Event

__all__ = ["Display", "JsonLines", "LiveDisplay", "PlainLines", "Silence"]


class Display(Protocol):
    """Shows a run; implementations: `PlainLines`, `JsonLines`, `Silence`, `LiveDisplay`."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the screen tidy, whatever happened."""
        ...

    def __call__(self, event: Event) -> None:
        """Take notice of an event."""
        ...

    def finish(self, result: Mapping[str, Any]) -> None:
        """Take notice of the result, after everything else."""
        ...


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Take no notice."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Take no notice."""


class JsonLines(Silence):
    """One JSON object a line, as in ``events.jsonl``; the result is the last.

    Parameters
    ----------
    stream : text stream
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._elapsed = 0.0

    def __call__(self, event: Event) -> None:
        """Print the event; the result waits for `finish`."""
        self._elapsed = event.elapsed
        if event.kind != "result":
            self._print(event.kind, event.data)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Print the result."""
        self._print("result", result)

    def _print(self, kind: str, data: Mapping[str, Any]) -> None:
        line = {"kind": kind, "elapsed": round(self._elapsed, 3), **_finite(dict(data))}
        print(json.dumps(line, ensure_ascii=False, allow_nan=False), file=self._stream, flush=True)


class PlainLines(Silence):
    """A line every few seconds, and at most about 40 for the steps of a run.

    Parameters
    ----------
    stream : text stream
    clock : callable
        Seconds; only differences count.
    """

    lines = 40
    seconds = 2.0

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._printed = -math.inf
        self._latest = Latest()
        self._share = 0.0
        self._quorum: int | str = "-"

    def __call__(self, event: Event) -> None:
        """Print the event, if it is its turn."""
        data = event.data
        if event.kind == "step":
            self._latest.take(data)
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
                told = ", ".join(f"{name} {value}" for name, value in data.items())
                self._print(f"{event.kind}: {told}")

    def _is_due(self, data: Mapping[str, Any]) -> bool:
        now, limit = self._clock(), data.get("calls_limit")
        share = data["calls_total"] / limit if limit else None
        # Without a limit the end is not known: lines become rarer as the run grows older.
        pause = self.seconds if share is not None else max(self.seconds, (now - self._began) / 6)
        if now - self._printed < pause:
            return False
        if share is not None and self._printed > -math.inf and share < self._share + 1 / self.lines:
            return False
        self._printed, self._share = now, share or 0.0
        return True

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _start_text(data: Mapping[str, Any]) -> str:
    sites = data["sites"]
    names = ", ".join(list(sites)[:8]) + (", ..." if len(sites) > 8 else "")
    tuned = f"{data['positions']} words of {data['words']}, {data['slots']} demonstrations"
    if data["candidates"]:
        tuned += f" of {data['candidates']} candidates"
    return (
        f"tuning for {data['model']}: {len(sites)} sites ({names}), quorum {data['quorum']}, "
        f"{tuned}, preset {data['preset']}, seed {data['seed']}\nrecord: {data['directory']}"
    )


def _step_text(data: Mapping[str, Any], latest: Latest, quorum: int | str) -> str:
    limit = f" of {data['calls_limit']:,} for tuning" if data.get("calls_limit") else ""
    parts = [
        f"step {data['iteration']}",
        f"sites {len(data['active'])} (quorum {quorum})",
        f"behind {latest.most_stale()}",
        f"loss {latest.mean_loss()}",
        f"validation {latest.validation_accuracy()}",
        f"entropy p {data['entropy_p']:.2f} q {latest.mean_entropy()}",
        f"calls {data['calls_total']:,}{limit}",
    ]
    if data["gone"]:
        parts.append(f"gone: {', '.join(data['gone'])}")
    if data.get("seconds_left") is not None:
        parts.append(f"{clock_text(data['seconds_left'])} left")
    return "  ".join(parts)


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for: a run must not end because its record cannot be shown."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


_ROWS = 12
"""Most sites in the table; those that lag most come first when there are more."""


class LiveDisplay:
    """Redraws the state of the run in place, four times a second.

    Parameters
    ----------
    console : Console, optional
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._start: Mapping[str, Any] = {}
        self._step: Mapping[str, Any] = {}
        self._phase = "preparing"
        self._latest = Latest()
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take notice of an event; it is drawn at the next refresh."""
        data = event.data
        match event.kind:
            case "start":
                self._start, self._phase = data, "tuning"
                self._latest.sites = {name: {} for name in data["sites"]}
            case "step":
                self._step, self._phase = data, data.get("phase", "tuning")
                self._latest.take(data)
            case "phase":
                self._phase = data["phase"]
            case "warning":
                self._console.print(Text(f"warning: {data['text']}", style="yellow"))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Show nothing more: the result is printed below."""

    def _render(self) -> Group:
        if not self._step:
            return Group(self._head())
        return Group(self._head(), self._table(), self._foot(), self._bar())

    def _head(self) -> Text:
        text = Text(self._phase, style="bold")
        if self._start:
            start = self._start
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
        known, step = self._latest.sites[site], self._step
        state = "gone" if site in step["gone"] else "active" if site in step["active"] else ""
        look = known.get("validation")
        loss, entropy = known.get("loss"), known.get("entropy_q")
        return [
            state,
            str(known.get("staleness", 0)),
            "-" if loss is None else f"{loss:.3f}",
            f"{percent(look['accuracy'])} ({look['n']})" if look else "-",
            "-" if entropy is None else f"{entropy:.2f}",
            f"{known.get('calls', 0):,}",
        ]

    def _foot(self) -> Text:
        step, latest = self._step, self._latest
        quorum = f"{len(step['active'])} of {len(latest.sites)} sites"
        lines = (
            (
                f"step {step['iteration']} ({quorum}, quorum {self._start.get('quorum', '-')})",
                f"loss {latest.mean_loss()}",
                f"validation {latest.validation_accuracy()}",
            ),
            (
                f"entropy p {step['entropy_p']:.2f}",
                f"planes {step['planes']}",
                f"distance to consensus {step['consensus_distance']:.3f}",
            ),
        )
        return Text("\n".join("  ".join(line) for line in lines))

    def _bar(self) -> Table:
        step, row = self._step, Table.grid(padding=(0, 1))
        limit, left = step.get("calls_limit"), step.get("seconds_left")
        made = f"{step['calls_total']:,}"
        row.add_row(
            ProgressBar(total=limit, completed=step["calls_total"], width=40) if limit else "",
            f"{made} of {limit:,} calls for tuning" if limit else f"{made} calls",
            "" if left is None else f"{clock_text(left)} left",
        )
        return row
