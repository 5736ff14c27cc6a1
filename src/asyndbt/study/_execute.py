"""Carrying out the cells of a study: side by side, once each, and no answer asked for twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any

from asyndbt.baselines import run_method
from asyndbt.errors import AsyndbtError, BudgetError, ModelError
from asyndbt.lm import AnswerCache, RemoteOptions, ReplayedModel
from asyndbt.run import write_atomically
from asyndbt.study._cells import Cell

__all__ = ["CellResult", "execute_cell", "execute_cells", "is_done", "outcome_of"]

_RECORD = "cell.json"


@dataclass(frozen=True, slots=True)
class CellResult:
    """What is known of a cell that was carried out.

    Parameters
    ----------
    cell : Cell
    seconds : float
        That it took.
    asked : int
        Calls that reached the language model; the others were answered before.
    error : str
        Why there is no result; empty if there is one.
    short : bool
        Whether it is the budget that is too small for the method.
    """

    cell: Cell
    seconds: float
    asked: int
    error: str = ""
    short: bool = False


def execute_cells(
    cells: Sequence[Cell], answers: Path, *, jobs: int = 1, tell: Callable[[CellResult, int], None]
) -> list[CellResult]:
    """Carry out what is not done yet.

    A finished cell is not done again.  One that failed or was interrupted starts anew: the answers
    that it has paid for are in the shared cache.

    Parameters
    ----------
    cells : sequence of Cell
    answers : Path
        Directory of the shared answers, a file for every task.
    jobs : int
        Processes; with 1 the cells are done in this one.
    tell : callable
        Is told of every cell that comes to its end, and how many are left.

    Returns
    -------
    list of Done
        In the order of `cells`, those included that were done before.

    Raises
    ------
    AsyndbtError
        If no run can succeed; what is done stays done.
    """
    answers.mkdir(parents=True, exist_ok=True)
    open_cells = [cell for cell in cells if not is_done(cell)]
    left = len(open_cells)
    with closing(_worked(open_cells, answers, min(jobs, left))) as worked:
        for done in worked:
            left -= 1
            tell(done, left)
    return [outcome_of(cell) for cell in cells]


def is_done(cell: Cell) -> bool:
    """Whether a cell has a result, or too small a budget ever to have one."""
    if not (cell.directory / _RECORD).exists():
        return False
    found = outcome_of(cell)
    return not found.error or found.short


def outcome_of(cell: Cell) -> CellResult:
    """Read what is known of a cell that was carried out."""
    record = json.loads((cell.directory / _RECORD).read_text("utf-8"))
    return CellResult(cell, **record)


def execute_cell(cell: Cell, answers: Path, jobs: int) -> CellResult:
    """Carry out one cell, in whatever process.

    Raises
    ------
    ModelError
        If no request can succeed: then none of another cell can either.
    """
    shutil.rmtree(cell.directory, ignore_errors=True)
    started, error, short = time.perf_counter(), "", False
    with AnswerCache(_file(cell, answers), cell.directory.name) as cache:
        config = cell.config.override(_pace(cell, jobs))
        model = ReplayedModel(config.lm.make_model(), cache)
        try:
            run_method(cell.method, config, model=model, options=cell.options)
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


def _file(cell: Cell, answers: Path) -> Path:
    """Return the file of answers: prompts of different tasks are never the same."""
    return answers / f"{cell.task.replace(':', '-')}.sqlite"


def _pace(cell: Cell, jobs: int) -> dict[str, Any]:
    """Share what an endpoint can take among the processes, which know nothing of each other."""
    options = cell.config.lm.options
    if not isinstance(options, RemoteOptions) or jobs == 1:
        return {}
    names = ("max_concurrency", "requests_per_minute", "tokens_per_minute")
    caps = {name: getattr(options, name) for name in names}
    return {f"lm.{name}": max(1, cap // jobs) for name, cap in caps.items() if cap is not None}


def _worked(cells: Sequence[Cell], answers: Path, jobs: int) -> Generator[CellResult, None, None]:
    """Yield what became of every cell, as soon as it is known."""
    if jobs <= 1:
        yield from (execute_cell(cell, answers, 1) for cell in cells)
        return
    # Numerical libraries read these once, when a process begins.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # SQLite does not wait its turn where several processes make the same file.
    for file in {_file(cell, answers) for cell in cells}:
        AnswerCache(file).close()
    others = set(active_children())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _end_with_the_command) as pool:
        try:
            futures = [pool.submit(_work_apart, cell, answers, jobs) for cell in cells]
            for future in as_completed(futures):
                done = future.result()
                if isinstance(done, _Stopped):
                    raise done.error()
                yield done
        except (KeyboardInterrupt, GeneratorExit):
            # Ctrl-C in a terminal reaches them too; a signal to the command alone does not.
            ours = set(active_children()) - others
            for process in ours:
                process.terminate()
            for process in ours:
                process.join()
            raise
        except BrokenProcessPool as error:
            raise AsyndbtError(
                "a process was killed, perhaps for want of memory: give the same command again, "
                "with fewer --jobs; what is done stays done"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Stopped:
    """An error on its way between processes, which it could not make itself."""

    text: str
    provider: str | None
    status: int | None

    def error(self) -> AsyndbtError:
        if self.provider is None:
            return AsyndbtError(self.text)
        return ModelError(self.text, provider=self.provider, status=self.status)


def _work_apart(cell: Cell, answers: Path, jobs: int) -> CellResult | _Stopped:
    try:
        return execute_cell(cell, answers, jobs)
    except ModelError as error:
        return _Stopped(str(error), error.provider, error.status)
    except AsyndbtError as error:
        return _Stopped(str(error), None, None)


def _end_with_the_command() -> None:
    """Let a process end without a word at Ctrl-C, and when the command does, however that dies.

    Its cell starts anew the next time.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = parent_process()
    assert command is not None

    def watch() -> None:
        wait([command.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()
