"""What a study will cost at most: the sum over its runs, before the first request.

Runs of asyndbt and cendbt are played through as `asyndbt.run.estimate_run` does, one seed of each
kind.  Any other method is taken to use its whole budget, at the cost a call has for asyndbt on the
same task.  That answers are shared lowers the sum by what nobody can know beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyndbt.errors import BudgetError
from asyndbt.lm import Usage
from asyndbt.run import Estimate, estimate_run
from asyndbt.study.cells import FREE_OF_CALLS, OURS, Cell, cells_of
from asyndbt.study.file import StudyFile

__all__ = ["StudyEstimate", "estimate_study"]


@dataclass(frozen=True, slots=True)
class StudyEstimate:
    """What a study will cost at most.

    Parameters
    ----------
    runs : int
    short : int
        How many of them have too small a budget to begin, and cost nothing.
    usage : Usage
    seconds : float
        Of requests, one run after the other.
    by_method : dict of str to Usage
    priced : bool
        Whether the money says anything.
    free : bool
        Whether the model computes on this machine.
    """

    runs: int
    short: int
    usage: Usage
    seconds: float
    by_method: dict[str, Usage]
    priced: bool
    free: bool


def estimate_study(file: StudyFile, seconds_per_request: float | None = None) -> StudyEstimate:
    """Find out what a study will cost at most, without a request.

    Parameters
    ----------
    file : StudyFile
    seconds_per_request : float, optional
        As for `asyndbt.run.estimate_run`.

    Raises
    ------
    AsyndbtError
        Whatever would keep a run from starting.
    """
    cells = cells_of(file)
    played: dict[tuple[object, ...], Estimate | None] = {}
    by_method: dict[str, Usage] = {}
    seconds, short = 0.0, 0
    for cell in cells:
        kind = _kind(cell)
        if kind not in played:
            played[kind] = _play(cell, seconds_per_request)
        found = played[kind]
        if found is None:
            short += 1
            continue
        usage = found.usage if cell.method in OURS else _of_baseline(cell, found)
        by_method[cell.method] = by_method.get(cell.method, Usage()) + usage
        seconds += found.seconds * usage.calls / max(1, found.usage.calls)
    total, some = sum(by_method.values(), Usage()), [each for each in played.values() if each]
    priced, free = all(each.priced for each in some), all(each.free for each in some)
    return StudyEstimate(len(cells), short, total, seconds, by_method, priced, free)


def _kind(cell: Cell) -> tuple[object, ...]:
    """What decides on the cost of a run; seeds hardly do."""
    pooled = cell.method == "cendbt"
    return (pooled, cell.task, cell.calls, cell.mode, cell.point)


def _play(cell: Cell, seconds_per_request: float | None) -> Estimate | None:
    """Play a run through; None where its budget is too small."""
    pooled = {"method.centralised": True} if cell.method == "cendbt" else {}
    try:
        return estimate_run(cell.config.override(pooled), seconds_per_request)
    except BudgetError:
        return None


def _of_baseline(cell: Cell, of: Estimate) -> Usage:
    """Return the whole budget of a baseline, or only its evaluation where it tunes nothing."""
    calls = of.evaluation if cell.method in FREE_OF_CALLS else cell.config.budget.calls
    share = (calls or 0) / max(1, of.usage.calls)
    used = of.usage
    return Usage(
        calls or 0,
        round(used.tokens_in * share),
        round(used.tokens_out * share),
        used.money * share,
    )
