"""Run every cell of a study once, several at a time, and pay for no answer twice."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, connection, get_context, parent_process
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any, Final

from asyndbt.baselines import run_method
from asyndbt.errors import AsyndbtError, BudgetError, ModelError
from asyndbt.lm import AnswerCache, RemoteOptions, ReplayedModel
from asyndbt.run import Event, write_atomically
from asyndbt.study._cells import Cell, naming

_RECORD: Final = "cell.json"
_REPORT_SECONDS: Final = 0.5
"""How often a process reports its progress, and how often that is read."""


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
    done = len(cells) - len(left)

    def report(cell: Cell, progress: int | CellResult) -> None:
        nonlocal done
        if isinstance(progress, CellResult):
            done += 1
            observe(CellProgress(cell, 0, progress, done, len(cells)))
        else:
            observe(CellProgress(cell, progress, None, done, len(cells)))

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
    # Numerical libraries read these once, when a process begins.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # SQLite does not wait for its lock while several processes create the same file.
    for file in {answers_file(cell, answers) for cell in cells}:
        AnswerCache(file).close()
    others = set(active_children())
    context = get_context("spawn")
    reports: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    with ProcessPoolExecutor(jobs, context, _start_process, (reports,)) as pool:
        try:
            futures = [
                pool.submit(_execute_apart, number, cell, answers, jobs)
                for number, cell in enumerate(cells)
            ]
            left = set(futures)
            while left:
                ended, left = wait(left, _REPORT_SECONDS, FIRST_COMPLETED)
                calls: dict[int, int] = {}
                while not reports.empty():
                    calls.update([reports.get()])
                for future in ended:
                    outcome = future.result()
                    if isinstance(outcome, _Stopped):
                        raise outcome.error()
                    report(outcome.cell, outcome)
                for number, latest in calls.items():
                    if futures[number] in left:
                        report(cells[number], latest)
        except AsyndbtError:
            raise
        except BrokenProcessPool as error:
            raise AsyndbtError(
                "a process was killed, perhaps for want of memory: give the same command again, "
                "with fewer --jobs; what is done stays done"
            ) from error
        except BaseException:
            # Ctrl-C in a terminal reaches the processes too; a signal to the command does not.
            ours = set(active_children()) - others
            for process in ours:
                process.terminate()
            for process in ours:
                process.join()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Stopped:
    """An error that can be passed between processes: not every exception can be pickled."""

    text: str
    provider: str | None
    status: int | None

    def error(self) -> AsyndbtError:
        if self.provider is None:
            return AsyndbtError(self.text)
        return ModelError(self.text, provider=self.provider, status=self.status)


_reports: SimpleQueue[tuple[int, int]]


def _execute_apart(number: int, cell: Cell, answers: Path, jobs: int) -> CellResult | _Stopped:
    latest = -math.inf

    def report(calls: int) -> None:
        nonlocal latest
        now = time.monotonic()
        if now - latest >= _REPORT_SECONDS:
            latest = now
            _reports.put((number, calls))

    try:
        return execute_cell(cell, answers, jobs, report)
    except ModelError as error:
        return _Stopped(str(error), error.provider, error.status)
    except AsyndbtError as error:
        return _Stopped(str(error), None, None)


def _start_process(reports: SimpleQueue[tuple[int, int]]) -> None:
    """Let a process end silently at Ctrl-C, and when its parent ends."""
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = parent_process()
    assert command is not None

    def watch() -> None:
        connection.wait([command.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()
