"""``asyndbt study FILE``: compare methods on tasks, with seeds and equal budgets."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from asyndbt._text import counted, duration
from asyndbt.cli._run import Interrupted
from asyndbt.errors import AsyndbtError
from asyndbt.study import Cell, CellProgress, load_study, run_study

DATA = "where the study's data files are, if not beside its own: relative paths start there"


def add_study(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "study",
        help="compare methods at equal cost, with tables and figures",
        description="Run what is not done yet of a study, then write its tables and figures. "
        "Ctrl-C at any time; the same command continues.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the study")
    parser.add_argument(
        "--jobs", type=_count, default=os.cpu_count() or 1, help="processes (one per core)"
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help=DATA)
    parser.add_argument("--quiet", action="store_true", help="print nothing but the outcome")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    file = load_study(args.file, args.data)
    study = file.study
    title = (
        f"study {study.name}: methods {len(study.methods)}, tasks {len(study.tasks)}, "
        f"seeds {len(study.seeds)}; preparing ..."
    )
    try:
        with _display(args, title) as display:
            done = run_study(file, jobs=args.jobs, observe=display)
    except KeyboardInterrupt:
        data = [] if args.data is None else ["--data", str(args.data)]
        raise Interrupted(shlex.join(["asyndbt", "study", str(args.file), *data])) from None
    folder = study.dir
    failed = [each for each in done if each.error and not each.short]
    if args.json:
        print(json.dumps({"directory": str(folder), "runs": len(done), "failed": len(failed)}))
    else:
        print(f"{counted(len(done), 'run')}. Tables and figures: {folder / 'README.md'}")
    if failed:
        first = failed[0]
        raise AsyndbtError(
            f"{len(failed):,} of {counted(len(done), 'run')} failed, {folder / 'README.md'} has "
            f"them all; the first: {first.cell.title}: {first.error}. To try them again, give the "
            "same command again"
        )


def _display(args: argparse.Namespace, title: str) -> StudyDisplay:
    if args.quiet or args.json:
        return StudyDisplay()
    if sys.stdout.isatty() and not Console().is_dumb_terminal:
        return LiveStudy(title)
    return StudyLines(title, sys.stdout)


class StudyDisplay:
    """Shows nothing; the base class of the displays, which keeps the counts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._ended = self._done = self._total = 0
        self._running: dict[Path, tuple[Cell, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, progress: CellProgress) -> None:
        """Update the counts, and show the progress of a cell."""
        cell, self._done, self._total = progress.cell, progress.done, progress.total
        if progress.result is None:
            self._running[cell.directory] = (cell, progress.calls)
        else:
            self._running.pop(cell.directory, None)
            self._ended += 1

    def _count(self) -> str:
        return f"[{self._done}/{self._total}]"

    def _running_texts(self) -> Iterator[str]:
        """Yield every running cell with its calls so far, at all sites together."""
        for cell, calls in self._running.values():
            yield f"{cell.title}: {counted(calls, 'call')} made"

    def _end_text(self, progress: CellProgress) -> str:
        assert progress.result is not None
        error, seconds = progress.result.error, progress.result.seconds
        outcome = f"failed: {error.splitlines()[0]}" if error else duration(seconds)
        per_cell = (self._clock() - self._began) / self._ended
        left = duration(per_cell * (self._total - self._done))
        return f"{self._count()} {progress.cell.title}: {outcome}, {left} left"


class StudyLines(StudyDisplay):
    """A line for every cell that ends and, at growing intervals, one on the running cells."""

    seconds = 2.0
    """Least time between two lines on the running cells; it grows with the age of the study."""
    most = 4
    """Most cells on such a line."""

    def __init__(
        self, title: str, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self._title, self._stream, self._printed = title, stream, -math.inf

    def __enter__(self) -> Self:
        print(self._title, file=self._stream, flush=True)
        return self

    def __call__(self, progress: CellProgress) -> None:
        super().__call__(progress)
        now = self._clock()
        if progress.result is not None:
            self._print(self._end_text(progress), now)
        elif now - self._printed >= max(self.seconds, (now - self._began) / 60):
            texts = list(self._running_texts())
            more = f"; and {len(texts) - self.most} more" if len(texts) > self.most else ""
            self._print(f"{self._count()} running: {'; '.join(texts[: self.most])}{more}", now)

    def _print(self, text: str, now: float) -> None:
        self._printed = now
        print(text, file=self._stream, flush=True)


class LiveStudy(StudyDisplay):
    """A line for every cell that ends; below them, redrawn in place, the running cells."""

    def __init__(
        self,
        title: str,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._title = title
        self._live = Live(console=console, get_renderable=self._render, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, progress: CellProgress) -> None:
        super().__call__(progress)
        if progress.result is not None:
            self._live.console.print(Text(self._end_text(progress)))

    def _render(self) -> Group:
        if not self._total:
            return Group(Text(self._title))
        running = (Text(f"  {text}") for text in self._running_texts())
        return Group(Text(f"{self._count()} running:", style="bold"), *running)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 up")
    return int(text)
