"""What `demo`, `run` and `resume` share: the flags of the display, and a run under it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyndbt.cli.live import LiveDisplay
from asyndbt.cli.progress import Display, JsonLines, PlainLines, Silence
from asyndbt.errors import AsyndbtError

if TYPE_CHECKING:
    from asyndbt.run import Observer, Result

__all__ = ["Finished", "Interrupted", "add_display_flags", "follow"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during work that can be gone on with.

    Parameters
    ----------
    command : str
        The command that does so.
    """

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to its end: its result, and what it said of itself at the start."""

    result: Result
    start: Mapping[str, Any]


def add_display_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--json``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--quiet", action="store_true", help="print nothing but the final result")
    group.add_argument(
        "--json", action="store_true", help="print one JSON object a line: events, then the result"
    )


def follow(
    args: argparse.Namespace,
    start: Callable[[Sequence[Observer]], Result],
    directory: Path | None = None,
) -> Finished:
    """Show a run while it goes on.

    Parameters
    ----------
    args : argparse.Namespace
        With the flags of `add_display_flags`.
    start : callable
        Starts the run with the observers that it is given.
    directory : Path, optional
        Where the run is recorded, if it is recorded already.

    Raises
    ------
    Interrupted
        At Ctrl-C, once the run has a directory.
    """
    display, note = _display(args), _Note()
    try:
        with display:
            result = start((note, display))
    except KeyboardInterrupt:
        directory = Path(note.start["directory"]) if note.start else directory
        if directory is None:
            raise
        raise Interrupted(f"asyndbt resume {shlex.quote(str(directory))}") from None
    except AsyndbtError as error:
        if note.start:
            error.add_note(f"go on with: asyndbt resume {shlex.quote(note.start['directory'])}")
        raise
    display.finish(result.data)
    return Finished(result, note.start)


class _Note:
    """An observer that keeps what the run says at its start."""

    def __init__(self) -> None:
        self.start: Mapping[str, Any] = {}

    def __call__(self, event: Any) -> None:
        if event.kind == "start":
            self.start = event.data


def _display(args: argparse.Namespace) -> Display:
    if args.json:
        return JsonLines(sys.stdout)
    if args.quiet:
        return Silence()
    is_terminal = sys.stdout.isatty() and _can_redraw()
    return LiveDisplay() if is_terminal else PlainLines(sys.stdout)


def _can_redraw() -> bool:
    return os.environ.get("TERM", "dumb") not in ("dumb", "unknown") or sys.platform == "win32"
