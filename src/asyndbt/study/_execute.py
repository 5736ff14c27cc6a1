"""Run every cell of a study once, several at a time, and pay for no answer twice."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, Final

from asyndbt.baselines import run_method
from asyndbt.errors import AsyndbtError, BudgetError, ModelError
from asyndbt.lm import AnswerCache, RemoteOptions, ReplayedModel
from asyndbt.run import Event, Observers, write_atomically
from asyndbt.study._cells import Cell, naming

_RECORD: Final = "cell.json"
_REPORT_SECONDS: Final = 0.5
"""How often a process reports its progress."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """The outcome of a cell.

    Parameters
    ----------
    asked : int
        Calls that reached the language model; the others were answered from the shared cache.
    error : str
        Why there is no result; empty if there is one.
    short : bool
        Whether the budget is too small for the method.
    """

    cell: Cell
    seconds: float
    asked: int
    error: str = ""
    short: bool = False


@dataclass(frozen=True, slots=True)
class CellProgress:
    """Progress of one cell; `result` is None until it has ended.

    Parameters
    ----------
    calls : int
        Made for tuning so far; 0 at the start.
    done, total : int
        Cells of the study: those that are done, including earlier commands, and all.
    """

    cell: Cell
    calls: int
    result: CellResult | None
    done: int
    total: int


Observe = Callable[[CellProgress], None]


def execute_cells(
    cells: Sequence[Cell],
    answers: Path,
    *,
    jobs: int = 1,
    observe: Observe = lambda progress: None,
) -> list[CellResult]:
    """Run what is not done yet; with one job, in this process. The results are in cell order.

    A finished cell is not run again. One that failed or was interrupted starts from the beginning:
    the answers that it has paid for are in the directory of shared answers, a file per task.

    Raises
    ------
    AsyndbtError
        If no run can succeed; what is done stays done.
    """
    answers.mkdir(parents=True, exist_ok=True)
    left = [cell for cell in cells if not is_done(cell)]
    done, show = len(cells) - len(left), Observers([observe])

    def report(cell: Cell, progress: int | CellResult) -> None:
        nonlocal done
        if isinstance(progress, CellResult):
            done += 1
            show(CellProgress(cell, 0, progress, done, len(cells)))
        else:
            show(CellProgress(cell, progress, None, done, len(cells)))

    jobs = min(jobs, len(left))
    if jobs > 1:
        _execute_in_processes(left, answers, jobs, report)
    else:
        for cell in left:
            report(cell, execute_cell(cell, answers, 1, partial(report, cell)))
    return [outcome_of(cell) for cell in cells]


def is_done(cell: Cell) -> bool:
    """Whether a cell has a result, or a budget that is too small for one."""
    if not (cell.directory / _RECORD).exists():
        return False
    found = outcome_of(cell)
    return not found.error or found.short


def outcome_of(cell: Cell) -> CellResult:
    """Read the record of a cell that has ended."""
    return CellResult(cell, **json.loads((cell.directory / _RECORD).read_text("utf-8")))


def execute_cell(cell: Cell, answers: Path, jobs: int, report: Callable[[int], None]) -> CellResult:
    """Run one cell in this process, and report the calls made so far, first 0.

    `jobs` processes share the rate limits of the endpoint.

    Raises
    ------
    ModelError
        If no request can succeed, for this cell or another.
    """
    report(0)
    shutil.rmtree(cell.directory, ignore_errors=True)
    started, error, short = time.perf_counter(), "", False

    def observe(event: Event) -> None:
        if event.kind == "step":
            report(event.data["calls_total"])

    with naming(cell.title), AnswerCache(answers_file(cell, answers), cell.directory.name) as cache:
        config = cell.config.override(_rate_limits(cell, jobs))
        model = ReplayedModel(config.lm.make_model(), cache)
        try:
            run_method(cell.method, config, observers=[observe], model=model, options=cell.options)
        except ModelError:
            raise
        except AsyndbtError as found:
            error, short = str(found), isinstance(found, BudgetError)
        asked = cache.total().calls
    record = {
        "seconds": round(time.perf_counter() - started, 3),
        "asked": asked,
        "error": error,
        "short": short,
    }
    cell.directory.mkdir(parents=True, exist_ok=True)
    write_atomically(cell.directory / _RECORD, json.dumps(record, indent=2).encode())
    return CellResult(cell, **record)  # type: ignore[arg-type]


def answers_file(cell: Cell, answers: Path) -> Path:
    """Return the file of answers: different tasks have no prompt in common."""
    return answers / f"{cell.task.replace(':', '-')}.sqlite"


def _rate_limits(cell: Cell, jobs: int) -> dict[str, Any]:
    """Divide the rate limits of an endpoint among the processes, which do not coordinate."""
    options = cell.config.lm.options
    if not isinstance(options, RemoteOptions) or jobs == 1:
        return {}
    names = ("max_concurrency", "requests_per_minute", "tokens_per_minute")
    caps = {name: getattr(options, name) for name in names}
    return {f"lm.{name}": max(1, cap // jobs) for name, cap in caps.items() if cap is not None}


def _execute_in_processes(
    cells: Sequence[Cell],
    answers: Path,
    jobs: int,
    report: Callable[[Cell, int | CellResult], None],
) -> None:
    """Give every process a cell, and the next one as soon as it has ended.

    Not with `concurrent.futures`: Ctrl-C while the command waits there can leave a future locked,
    and the command then waits for its own thread for ever.
    """
    # Numerical libraries read these once, when a process begins.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # SQLite does not wait for its lock while several processes create the same file.
    for file in {answers_file(cell, answers) for cell in cells}:
        AnswerCache(file).close()
    waiting = deque(cells)
    stopped: AsyndbtError | None = None
    running: dict[Connection, Cell] = {}
    with _processes(answers, jobs) as idle:
        while running or waiting:
            while idle and waiting:
                pipe, cell = idle.pop(), waiting.popleft()
                with _lost():
                    pipe.send(cell)
                running[pipe] = cell
            ready = connection.wait(running)
            for pipe in [pipe for pipe in running if pipe in ready]:
                with _lost():
                    news: int | CellResult | AsyndbtError = pipe.recv()
                if isinstance(news, AsyndbtError):
                    stopped = stopped or news
                    waiting.clear()
                else:
                    report(running[pipe], news)
                if not isinstance(news, int):
                    del running[pipe]
                    idle.append(pipe)
    if stopped:
        raise stopped


@contextmanager
def _processes(answers: Path, jobs: int) -> Iterator[list[Connection]]:
    """Start processes that run the cells sent to them; they are ended with the block."""
    context = get_context("spawn")
    pipes, started = [], []
    try:
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_run_cells, args=(theirs, answers, jobs))
            process.start()
            started.append(process)
            pipes.append(ours)
            # The process has the only other end now: when it ends, there is nothing more to read.
            theirs.close()
        yield pipes
    finally:
        # Ctrl-C in a terminal reaches the processes too; a signal to the command does not.
        for process in started:
            process.terminate()
        for process in started:
            process.join()
        for pipe in pipes:
            pipe.close()


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise AsyndbtError(
            "a process ended amid its run: if no error is above, it was killed, perhaps for want "
            "of memory. Give the same command again, with fewer --jobs; what is done stays done"
        ) from error


def _run_cells(pipe: Connection, answers: Path, jobs: int) -> None:
    """Run the cells that come, in a process that ends silently at Ctrl-C and with the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = parent_process()
    assert command is not None

    def watch() -> None:
        connection.wait([command.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()
    while True:
        pipe.send(_execute_apart(pipe.recv(), answers, jobs, pipe))


def _execute_apart(
    cell: Cell, answers: Path, jobs: int, pipe: Connection
) -> CellResult | AsyndbtError:
    latest = -math.inf

    def report(calls: int) -> None:
        nonlocal latest
        now = time.monotonic()
        if now - latest >= _REPORT_SECONDS:
            latest = now
            pipe.send(calls)

    try:
        return execute_cell(cell, answers, jobs, report)
    except AsyndbtError as error:
        return error
