"""What a study will cost: the sum over its runs, before the first request.

For every kind of settings, `asyndbt.run.estimate_run` simulates one run of asyndbt: one seed, with
the largest budget. Runs with another budget make at most as many calls, and at most their budget.
A run that tunes one half in an ablation, and a run of any other method, is taken to use its whole
budget, at the cost per call of the simulated run; cendbt makes at most the calls of its iterations
and validations. Answers that runs share lower the sum by an amount that is not known beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from asyndbt.baselines import CenDBT
from asyndbt.config import Config
from asyndbt.lm import CONTENT_FREE
from asyndbt.run import Cost, Estimate, can_begin, estimate_run
from asyndbt.scoring import LOOKS_SHARE
from asyndbt.study._cells import (
    BOTH,
    Cell,
    cells_of,
    evaluation_of,
    is_baseline,
    naming,
    needs_calls,
    sizes_of,
)
from asyndbt.study._file import StudyFile

_POOLED: Final = CenDBT.name


@dataclass(frozen=True, slots=True)
class StudyEstimate:
    """What a study will cost.

    Parameters
    ----------
    short : int
        How many of the `runs` have too small a budget to begin, and cost nothing.
    least, most : Cost
        As `asyndbt.run.Estimate` tells them, one run after the other.
    by_method : dict of str to (Cost, Cost)
        The same by method.
    priced : bool
        Whether prices are known, so that the money is meaningful.
    free : bool
        Whether the model computes on this machine.
    """

    runs: int
    short: int
    least: Cost
    most: Cost
    by_method: dict[str, tuple[Cost, Cost]]
    priced: bool
    free: bool


def estimate_study(file: StudyFile, seconds_per_request: float | None = None) -> StudyEstimate:
    """Estimate what a study will cost, without a request.

    Parameters
    ----------
    seconds_per_request : float, optional
        As for `asyndbt.run.estimate_run`.

    Raises
    ------
    AsyndbtError
        Whatever would keep a run from starting.
    """
    cells = cells_of(file)
    kinds = _kinds(cells)
    fitting = [(kind[-1], cell) for kind, some in kinds.items() for cell in _fitting(some)]
    simulated: dict[str, Estimate] = {}
    by_method: dict[str, tuple[Cost, Cost]] = {}
    whole = _whole(cells)
    # The tuning run with the largest budget comes first: it is the one to simulate.
    fitting.sort(
        key=lambda each: (
            each[1].method == _POOLED,
            each[1].directory in whole,
            not needs_calls(each[1].method),
            -_budget(each[1]),
        )
    )
    for settings, cell in fitting:
        half = whole.get(cell.directory) in simulated
        kind = whole[cell.directory] if half else settings
        if kind not in simulated:
            with naming(cell.title):
                simulated[kind] = estimate_run(
                    _as_it_runs(cell), seconds_per_request, needs_calls=needs_calls(cell.method)
                )
        run, more = simulated[kind], _halves(file, cell)
        before = by_method.get(cell.method, (Cost(), Cost()))
        ends = (_calls(cell, run, end, half=half) + more for end in (run.least, run.most))
        least, most = (sum_ + run.least.of(calls) for sum_, calls in zip(before, ends, strict=True))
        by_method[cell.method] = (least, most)
    least, most = (sum((costs[end] for costs in by_method.values()), Cost()) for end in (0, 1))
    some = simulated.values()
    priced, free = all(each.priced for each in some), all(each.free for each in some)
    short = len(cells) - len(fitting)
    return StudyEstimate(len(cells), short, least, most, by_method, priced, free)


def _settings(cell: Cell) -> str:
    """Return the settings that determine the cost of a run, except budget and seed."""
    values = cell.config.to_dict()
    del values["run"]["seed"], values["run"]["dir"], values["budget"]
    # Liars do their work and pay for it like the others.
    values["federation"].pop("liars", None)
    return json.dumps(values, sort_keys=True)


def _whole(cells: Sequence[Cell]) -> dict[Path, str]:
    """Map the directory of a run that tunes one half to the settings of the run that tunes both.

    A call costs no more there, and such a run is not simulated: a half may settle early, and then
    repeats itself for very many steps.
    """
    both = {(c.method, c.task, c.point): _settings(c) for c in cells if c.mode == BOTH}
    return {
        cell.directory: both[key]
        for cell in cells
        if (key := (cell.method, cell.task, cell.point)) in both and cell.mode != BOTH
    }


def _kinds(cells: Sequence[Cell]) -> dict[tuple[bool, bool, str], list[Cell]]:
    """Group cells that need the same number of calls per site to begin."""
    kinds: dict[tuple[bool, bool, str], list[Cell]] = {}
    for cell in cells:
        kind = (cell.method == _POOLED, needs_calls(cell.method), _settings(cell))
        kinds.setdefault(kind, []).append(cell)
    return kinds


def _fitting(cells: Sequence[Cell]) -> Iterator[Cell]:
    """Yield the cells of a kind whose budget is large enough to begin."""
    by_calls = sorted(cells, key=lambda cell: cell.calls)
    enough = False
    for _, group in groupby(by_calls, key=lambda cell: cell.calls):
        same = list(group)
        largest = max(same, key=_budget)
        with naming(largest.title):
            enough = enough or can_begin(
                _as_it_runs(largest), needs_calls=needs_calls(largest.method)
            )
        if enough:
            yield from same


def _budget(cell: Cell) -> int:
    return cell.config.budget.calls or 0


def _as_it_runs(cell: Cell) -> Config:
    """Return the configuration of a cell; cendbt is the one method that pools the data."""
    return CenDBT().configure(cell.config) if cell.method == _POOLED else cell.config


def _calls(cell: Cell, simulated: Estimate, of_run: Cost, *, half: bool) -> int:
    """Return the most calls that a run can make, if asyndbt makes those `of_run`."""
    budget, method = _budget(cell), cell.config.method
    if not (is_baseline(cell.method) or cell.method == _POOLED or half):
        return min(budget, of_run.usage.calls)
    if not needs_calls(cell.method):
        sizes = sizes_of(cell.config)
        evaluation = budget - sizes.sites * cell.calls
        # zero-shot-cot may make two calls for each example.
        again = (int(cell.options.get("calls", 1)) - 1) * (sizes.validation + sizes.test)
        return min(budget, evaluation + sizes.validation + again)
    if cell.method == _POOLED and method.iterations:
        settings = method.settings()
        free = len(CONTENT_FREE) if cell.config.lm.calibration == "contextual" else 0
        each = settings.draws * (settings.batch_size + free)
        steps = method.iterations * method.local_steps * each
        looks = int(LOOKS_SHARE * (budget - simulated.evaluation))
        return min(budget, simulated.evaluation + looks + steps)
    return budget


def _halves(file: StudyFile, cell: Cell) -> int:
    """Return the calls for the halves of a best run, counted at the first seed."""
    study = file.study
    first = (cell.seed, cell.calls, cell.mode) == (study.seeds[0], study.calls, BOTH)
    asked = 2 * evaluation_of(cell.config, cell.method)
    return asked if first and cell.method in study.ablation_parts else 0
