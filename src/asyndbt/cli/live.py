"""The live display of a run in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyndbt.cli.figures import Latest, clock_text, percent
from asyndbt.run.events import Event

__all__ = ["LiveDisplay"]

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
