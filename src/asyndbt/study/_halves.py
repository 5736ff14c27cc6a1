"""The paper's Table 4: each half of the prompts of one best run, asked alone.

A step after the runs: of every method that the study names, at every task and point of the grid,
the run with the best accuracy on the test split is taken, and its demonstrations without the
fragment and its fragment without demonstrations are asked on the test split. These calls are in no
run's budget or ledger; they are counted beside it, in the run's directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from asyndbt.lm import AnswerCache, ReplayedModel
from asyndbt.run import Result, score_halves, write_atomically
from asyndbt.study._cells import BOTH, Cell, naming
from asyndbt.study._execute import CellResult, answers_file
from asyndbt.study._file import StudySection

_RECORD: Final = "halves.json"


def ask_halves(study: StudySection, done: Sequence[CellResult], answers: Path) -> None:
    """Ask the halves of the best runs, as far as that is not done; answers are shared.

    Raises
    ------
    ModelError
        If no request can succeed.
    """
    for cell in _best(study, done):
        if halves_of(cell) is not None:
            continue
        name = f"{cell.directory.name}-halves"
        with naming(cell.title), AnswerCache(answers_file(cell, answers), name) as cache:
            model = ReplayedModel(cell.config.lm.make_model(), cache)
            found = score_halves(Result(cell.directory), model)
        write_atomically(cell.directory / _RECORD, json.dumps(found, indent=2).encode())


def halves_of(cell: Cell) -> dict[str, Any] | None:
    """Read the scores of a run's halves; None if they were not asked."""
    file = cell.directory / _RECORD
    found: dict[str, Any] | None = json.loads(file.read_text("utf-8")) if file.exists() else None
    return found


def _best(study: StudySection, done: Sequence[CellResult]) -> Iterator[Cell]:
    """Yield the best run of every method, task and point; of equal ones that of the first seed."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for each in done:
        cell = each.cell
        main = cell.calls == study.calls and cell.mode == BOTH and not each.error
        if main and cell.method in study.ablation_parts and Result(cell.directory).sites:
            groups.setdefault((cell.method, cell.task, cell.point), []).append(cell)
    for cells in groups.values():
        yield max(cells, key=_accuracy)


def _accuracy(cell: Cell) -> float:
    tuned = Result(cell.directory).data["metrics"]["test"]["tuned"]
    return float(tuned["accuracy"]) if tuned else -1.0
