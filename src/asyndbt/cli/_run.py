"""``asyndbt run FILE``: tune as a configuration file says.

``asyndbt resume DIR``: go on with a run that was stopped.

What `demo`, `run` and `resume` share: the flags of the display, and a run under it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyndbt import run as facade
from asyndbt.baselines import resume_run
from asyndbt.cli._display import Display, JsonLines, LiveDisplay, PlainLines, Silence
from asyndbt.cli._text import outcome_text
from asyndbt.config import Config, load_config
from asyndbt.errors import AsyndbtError, ConfigError
from asyndbt.study import is_study

__all__ = ["Finished", "Interrupted", "add_display_flags", "add_resume", "follow"]

if TYPE_CHECKING:
    from asyndbt.run import Observer, Result


def add_run(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="tune prompts as a configuration file says",
        description="Tune prompts as a configuration file says. "
        "The record goes to a directory; Ctrl-C keeps it, and 'asyndbt resume' goes on from it.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument("--dir", type=Path, help="directory of the record, in place of run.dir")
    add_display_flags(parser)
    parser.set_defaults(execute=_execute_run)


def _execute_run(args: argparse.Namespace) -> None:
    """Run it."""
    if is_study(args.file):
        raise AsyndbtError(f"{args.file} is a study: asyndbt study {shlex.quote(str(args.file))}")
    config = load_config(args.file)
    if args.dir is not None:
        config = config.override({"run.dir": args.dir})
    done = follow(args, lambda observers: _carry_out(config, observers))
    if not args.json:
        print(outcome_text(done.result))


def _carry_out(config: Config, observers: Sequence[Observer]) -> Result:
    if config.federation.engine == "flower":
        from asyndbt.deploy import submit_run

        return submit_run(config, observers=observers)
    return facade.run_config(config, observers=observers)


if TYPE_CHECKING:
    from asyndbt.run import Observer, Result


def add_resume(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "resume",
        help="go on with a run that was stopped",
        description="Go on with a run that was stopped; no answer is paid for twice. A run that "
        "ended because its budget was used up is tuned further with a larger one.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.add_argument(
        "--budget",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="another cap of the configuration's [budget], such as calls=20000 or "
        "per_site.calls=5000; may be given several times",
    )
    add_display_flags(parser)
    parser.set_defaults(execute=_execute_resume)


def _execute_resume(args: argparse.Namespace) -> None:
    """Resume it."""
    budget = _caps(args.budget)
    done = follow(args, lambda observers: _go_on(args.directory, budget, observers), args.directory)
    if not args.json:
        print(outcome_text(done.result))


def _go_on(directory: Path, budget: dict[str, Any], observers: Sequence[Observer]) -> Result:
    file = directory / "config.toml"
    if not file.exists() or load_config(file).federation.engine != "flower":
        return resume_run(directory, budget=budget, observers=observers)
    if budget:
        raise ConfigError(
            "--budget: the budget of a run across sites is in the file that all of them share: "
            "change it there, and start another run"
        )
    from asyndbt.deploy import submit_again

    return submit_again(directory, observers=observers)


def _caps(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``calls=20000`` and the like; a key of [budget] may have a table before it."""
    caps: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        *path, last = key.split(".")
        table = caps
        for part in path:
            table = table.setdefault(part, {}) if isinstance(table, dict) else table
        try:
            table[last] = json.loads(value)
        except (json.JSONDecodeError, TypeError):
            raise ConfigError(f"--budget {pair}: write it as calls=20000") from None
    return caps


if TYPE_CHECKING:
    from asyndbt.run import Observer, Result


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
