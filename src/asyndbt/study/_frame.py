"""The tidy tables of a study, read from the records of its runs and written as files.

Everything that a study shows is computed from them. Both tables have one more column per key of the
grid; ``site`` is ``all`` for values of all sites together.

Results
-------
One number of one run per row.

method, task, seed, site : of the run
split : ``test``, ``validation``, or ``train`` for numbers about tuning itself
metric : ``accuracy`` (a share), ``loss`` (cross-entropy, nats), ``n`` (examples); on the test split
    also with the prefix ``plain_`` or ``random_icl_``, for the two references, and of best runs
    with ``demonstrations_`` or ``fragment_``, for one half of the prompt alone, asked after the
    run with ``halves_calls``. For training,
    ``iterations``, ``calls`` and, if the run has a virtual clock, its ``seconds``; of a site,
    whether it ``lies`` (1) and has ``kept_own`` fragment (1 or 0); and ``wanted``, the share of the
    words of the fragment chosen for all that liars want. Values of all sites together are of those
    that do not lie
value : the number
calls : spent by the run on tuning and validation, at all sites
tokens : sent and received in the whole run
seconds : taken by the run on this machine
budget : calls of a site that the run may spend on tuning and validation
mode : what was tuned

Curve
-----
One value at one moment of one run per row.

method, task, seed, site, budget, mode : as above
calls : spent so far, at all sites
iteration : of the method
metric : ``train_loss``, ``validation_loss`` or ``validation_accuracy``
value : the number
seconds : on the run's clock
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet

from asyndbt.run import HALVES, CurveMoment, read_curve, recorded_liars
from asyndbt.study._cells import ATTACK, HONEST, SHARE, Cell, is_baseline
from asyndbt.study._execute import CellResult
from asyndbt.study._halves import halves_of

OVERALL: Final = "all"
_RESULTS: Final = (
    *("method", "task", "seed", "site", "split", "metric", "value"),
    *("calls", "tokens", "seconds", "budget", "mode"),
)
_CURVE: Final = (
    *("method", "task", "seed", "calls", "iteration", "metric", "value"),
    *("seconds", "site", "budget", "mode"),
)
_NUMBERS: Final = {
    **dict.fromkeys(("seed", "calls", "iteration", "tokens", "budget"), "int64"),
    **dict.fromkeys(("value", "seconds"), "float64"),
}
"""Types of the columns that are not text."""
_PREFIXES: Final = {"tuned": "", "plain": "plain_", "random_icl": "random_icl_"}

_HALVES: Final = {half: f"{half}_" for half in HALVES}
HALVES_CALLS: Final = "halves_calls"
LIES: Final = "lies"
KEPT_OWN: Final = "kept_own"
WANTED: Final = "wanted"

Number = tuple[str, str, str, float]
"""Site, split, metric, value."""


def results_of(done: Sequence[CellResult]) -> pd.DataFrame:
    """Return the finite results of all cells that have any."""
    return _frame((row for each in done if not each.error for row in _results(each)), _RESULTS)


def curve_of(done: Sequence[CellResult]) -> pd.DataFrame:
    """Return the finite values of the curves of all cells that have any."""
    return _frame((row for each in done if not each.error for row in _moments(each)), _CURVE)


def grid_keys(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in (*_RESULTS, *_CURVE)]


def without_liars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of runs in which nobody lies, where a grid varies who does."""
    if ATTACK not in frame:
        return frame
    return frame[frame[ATTACK] == HONEST].drop(columns=[ATTACK, SHARE])


def write_csv(frame: pd.DataFrame, file: Path) -> None:
    frame.to_csv(file, index=False, lineterminator="\n")


def write_parquet(frame: pd.DataFrame, file: Path) -> None:
    schema = pyarrow.schema([(name, _NUMBERS.get(name, "string")) for name in frame.columns])
    table = pyarrow.Table.from_pandas(frame, schema, preserve_index=False)
    pyarrow.parquet.write_table(table.replace_schema_metadata(), file)


def _frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    found = list(rows)
    grid = [name for name in found[0] if name not in columns] if found else []
    frame = pd.DataFrame(found, columns=[*columns, *grid])
    frame = frame.astype({name: kind for name, kind in _NUMBERS.items() if name in frame})
    return frame[np.isfinite(frame["value"])]


def _results(done: CellResult) -> Iterator[dict[str, Any]]:
    cell = done.cell
    data = json.loads((cell.directory / "result.json").read_text("utf-8"))
    ledger, curve = data["ledger"], read_curve(cell.directory)
    calls = _tuning_calls(data, curve, cell.config.method.random_icl_draws)
    for site, split, metric, value in (
        *_scores(OVERALL, "test", data["metrics"]["test"]),
        *_halves(cell),
        *_sites(data["sites"]),
        *_training(cell, data, curve, calls),
        *_honesty(cell, data),
    ):
        yield {
            **_run_columns(cell),
            "site": site,
            "split": split,
            "metric": metric,
            "value": value,
            "calls": calls,
            "tokens": ledger["tokens_in"] + ledger["tokens_out"],
            "seconds": done.seconds,
        }


def _tuning_calls(data: Mapping[str, Any], curve: Sequence[CurveMoment], draws: int) -> int:
    """Return the calls spent before the final evaluation.

    The evaluation asks for every test example of every site once under each kind of prompt, and
    none of these calls was made before. The exception is a method whose prompt is one of the
    references: there, the curve has the calls.
    """
    scores = [
        (kind, score)
        for site in data["sites"].values()
        for kind, score in site["metrics"]["test"].items()
        if score
    ]
    times = {"random_icl": draws}
    evaluation = sum(times.get(kind, 1) * int(score["n"]) for kind, score in scores)
    known = max((int(moment["calls"]) for moment in curve), default=0)
    return max(known, int(data["ledger"]["calls"]) - evaluation)


def _halves(cell: Cell) -> Iterator[Number]:
    halves = halves_of(cell)
    if halves is not None:
        yield from _scores(OVERALL, "test", halves, _HALVES)
        yield OVERALL, "test", HALVES_CALLS, halves["calls"]


def _scores(
    site: str, split: str, kinds: Mapping[str, Any], prefixes: Mapping[str, str] = _PREFIXES
) -> Iterator[Number]:
    for kind, prefix in prefixes.items():
        score = kinds.get(kind) or {}
        for metric in ("accuracy", "loss", "n"):
            if score.get(metric) is not None:
                yield site, split, f"{prefix}{metric}", score[metric]


def _sites(sites: Mapping[str, Any]) -> Iterator[Number]:
    for name, site in sites.items():
        for split, kinds in site["metrics"].items():
            yield from _scores(name, split, kinds)


def _training(
    cell: Cell, data: Mapping[str, Any], curve: Sequence[CurveMoment], calls: int
) -> Iterator[Number]:
    yield OVERALL, "train", "calls", calls
    yield OVERALL, "train", "iterations", data["iterations"]
    seconds = [moment["seconds"] for moment in curve if moment.get("seconds") is not None]
    # A real clock depends on which answers were cached; baselines have no virtual one.
    virtual = not is_baseline(cell.method) and cell.config.federation.engine == "virtual"
    if seconds and virtual:
        yield OVERALL, "train", "seconds", max(seconds)


def _honesty(cell: Cell, data: Mapping[str, Any]) -> Iterator[Number]:
    """Yield which sites lied, which kept a fragment of their own, and what liars have reached."""
    if is_baseline(cell.method):
        return
    for name in recorded_liars(data):
        yield name, "train", LIES, 1.0
    for name, site in data["sites"].items():
        if (kept := site.get(KEPT_OWN)) is not None:
            yield name, "train", KEPT_OWN, float(kept)
    if liars := data.get("liars"):
        wanted = sum(word in liars["words"] for word in data["fragment"])
        yield OVERALL, "train", WANTED, wanted / max(1, len(data["fragment"]))


def _moments(done: CellResult) -> Iterator[dict[str, Any]]:
    cell = done.cell
    for moment in read_curve(cell.directory):
        for metric in ("train_loss", "validation_loss", "validation_accuracy"):
            if moment.get(metric) is not None:
                yield {
                    **_run_columns(cell),
                    "calls": moment["calls"],
                    "iteration": moment["iteration"] or 0,
                    "metric": metric,
                    "value": moment[metric],
                    "seconds": moment.get("seconds") or 0.0,
                    "site": moment.get("site") or OVERALL,
                }


def _run_columns(cell: Cell) -> dict[str, Any]:
    return {
        "method": cell.method,
        "task": cell.task,
        "seed": cell.seed,
        "budget": cell.calls,
        "mode": cell.mode,
        # As text, since the values of one key may differ in type.
        **{
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in cell.point
        },
    }
