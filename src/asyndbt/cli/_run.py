"""``asyndbt run FILE`` and ``asyndbt resume DIR``, and what all tuning commands share."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyndbt.baselines
import asyndbt.run
from asyndbt.cli._display import Display, JsonLines, LiveDisplay, PlainLines
from asyndbt.cli._outcome_text import outcome_text
from asyndbt.config import load_config
from asyndbt.deploy import submit_again, submit_run
from asyndbt.errors import AsyndbtError, ConfigError
from asyndbt.run import Event, Observer, Result
from asyndbt.study import is_study


def add_run(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "run",
        help="tune prompts as a configuration file says",
        description="Tune prompts as a configuration file says. "
        "The record goes to a directory; Ctrl-C keeps it, and 'asyndbt resume' continues from it.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument("--dir", type=Path, help="directory of the record, in place of run.dir")
    add_display_flags(parser)
    parser.set_defaults(execute=_run)


def _run(args: argparse.Namespace) -> None:
    if is_study(args.file):
        raise AsyndbtError(f"{args.file} is a study: asyndbt study {shlex.quote(str(args.file))}")
    config = load_config(args.file)
    if args.dir is not None:
        config = config.override({"run.dir": args.dir})
    run = submit_run if config.federation.engine == "flower" else asyndbt.run.run_config
    followed = follow(args, lambda observers: run(config, observers=observers))
    if not args.json:
        print(outcome_text(followed.result, followed.warnings))


def add_resume(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "resume",
        help="continue a run that was stopped",
        description="Continue a run that was stopped; no answer is paid for twice. A run that "
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
    parser.set_defaults(execute=_resume)


def _resume(args: argparse.Namespace) -> None:
    budget = _caps(args.budget)
    followed = follow(
        args, lambda observers: _resume_run(args.directory, budget, observers), args.directory
    )
    if not args.json:
        print(outcome_text(followed.result, followed.warnings))


def _resume_run(directory: Path, budget: dict[str, Any], observers: Sequence[Observer]) -> Result:
    file = directory / "config.toml"
    if not file.exists() or load_config(file).federation.engine != "flower":
        return asyndbt.baselines.resume_run(directory, budget=budget, observers=observers)
    if budget:
        raise ConfigError(
            "--budget: the budget of a run across sites is in the file that all of them share: "
            "change it there, and start another run"
        )
    return submit_again(directory, observers=observers)


def _caps(pairs: Sequence[str]) -> dict[str, Any]:
    """Return ``calls=20000`` and ``per_site.calls=5000`` as the tables of [budget]."""
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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during work that `command` continues."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command


def add_display_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--quiet", action="store_true", help="print nothing but the final result")
    group.add_argument(
        "--json", action="store_true", help="print one JSON object a line: events, then the result"
    )


@dataclass(frozen=True, slots=True)
class Followed:
    """A run that a display has shown.

    Parameters
    ----------
    start : mapping
        The data of the event "start".
    warnings : sequence of str
        Of the result, those that the display has not shown.
    """

    result: Result
    start: Mapping[str, Any]
    warnings: Sequence[str]


def follow(
    args: argparse.Namespace,
    run: Callable[[Sequence[Observer]], Result],
    directory: Path | None = None,
) -> Followed:
    """Run under a display.

    Parameters
    ----------
    args : argparse.Namespace
        With the flags of `add_display_flags`.
    run : callable
        Takes the observers of the run.
    directory : Path, optional
        Of the record, if there is one already.

    Raises
    ------
    Interrupted
        At Ctrl-C, once the run has a directory.
    """
    display = _display(args)
    start: dict[str, Any] = {}
    shown: set[str] = set()

    def note(event: Event) -> None:
        if event.kind == "start":
            start.update(event.data)
        if event.kind == "warning" and not args.quiet:
            shown.add(event.data["text"])

    try:
        with display:
            result = run((note, display))
    except KeyboardInterrupt:
        recorded = start.get("directory", directory)
        if recorded is None:
            raise
        raise Interrupted(f"asyndbt resume {shlex.quote(str(recorded))}") from None
    except AsyndbtError as error:
        if start:
            error.add_note(f"go on with: asyndbt resume {shlex.quote(start['directory'])}")
        raise
    display.finish(result.data)
    return Followed(result, start, [w for w in result.data["warnings"] if w not in shown])


def _display(args: argparse.Namespace) -> Display:
    if args.json:
        return JsonLines(sys.stdout)
    if args.quiet:
        return Display()
    redraws = os.environ.get("TERM", "dumb") not in ("dumb", "unknown") or sys.platform == "win32"
    return LiveDisplay() if sys.stdout.isatty() and redraws else PlainLines(sys.stdout)
