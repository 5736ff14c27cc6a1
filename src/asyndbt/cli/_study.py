"""``asyndbt study FILE``: compare methods on tasks, with seeds and equal budgets."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

from asyndbt import study as facade
from asyndbt._text import duration
from asyndbt.cli._run import Interrupted
from asyndbt.errors import AsyndbtError
from asyndbt.study import CellResult

__all__ = ["add_study"]


def add_study(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "study",
        help="compare methods at equal cost, with tables and figures",
        description="Carry out every run of a study that is not done yet, then write its tables "
        "and figures. Ctrl-C at any time; the same command goes on.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the study")
    parser.add_argument(
        "--jobs", type=_count, default=os.cpu_count() or 1, help="processes (one per core)"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but the outcome")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Run it."""
    file = facade.load_study(args.file)
    progress = _Progress(quiet=args.quiet or args.json)
    try:
        done = facade.run_study(file, jobs=args.jobs, tell=progress)
    except KeyboardInterrupt:
        raise Interrupted(f"asyndbt study {shlex.quote(str(args.file))}") from None
    folder = file.study.dir
    failed = [each for each in done if each.error and not each.short]
    if args.json:
        print(json.dumps({"directory": str(folder), "runs": len(done), "failed": len(failed)}))
    else:
        print(f"{len(done):,} runs. Tables and figures: {folder / 'README.md'}")
    if failed:
        first = failed[0]
        raise AsyndbtError(
            f"{len(failed)} of {len(done)} runs failed, {folder / 'README.md'} has them all; the "
            f"first: {first.cell.title}: {first.error}. To try them again, give the same "
            "command again"
        )


class _Progress:
    """A line for every run that comes to its end."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._started, self._done = quiet, time.monotonic(), 0

    def __call__(self, done: CellResult, left: int) -> None:
        if self._quiet:
            return
        self._done += 1
        remaining = (time.monotonic() - self._started) / self._done * left
        said = f"failed: {done.error.splitlines()[0]}" if done.error else duration(done.seconds)
        place = f"[{self._done}/{self._done + left}]"
        print(f"{place} {done.cell.title}: {said}, {duration(remaining)} left", flush=True)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 up")
    return int(text)
