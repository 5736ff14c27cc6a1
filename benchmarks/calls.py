"""How many model calls until 95 % of the gain? regression, reinforce, TPE, random search.

    python benchmarks/calls.py [--tasks NAME ...] [--seeds 5] [--calls 20000] [--rows SEED]

Measured, at one site (site number ``seed mod 3`` of the task), no consensus: after every few calls
the accuracy on the site's whole test split of what the method would return at that moment. Test
queries are asked outside the ledger and never decide anything.

* regression, reinforce: a `Worker` driven step by step; the current read-out (argmax of p, argmax
  of q), not confirmed on validation. reinforce runs with every setting of a small grid (`GRID`) and
  is judged by the best one, which favours it.
* TPE, random search: prompts tried on one minibatch of 10 training queries each, the 5 best at the
  moment confirmed on validation; those calls count too (an answer known already is free).

Definitions: per task, a method's curve is the mean over seeds; the plain prompt's accuracy is the
base; the gain is that of the best method's final accuracy (mean of the last three points of its
curve); the level is base + 95 % of the gain; the figure is the first number of calls at which the
method's curve is at the level and from which on it is there on average (an early read-out is noisy
and may be lucky); ``> N`` if there is no such number within the N calls that the method was given.

How to read it: calls per task and method, and the geometric mean over tasks of the ratio of a
method's calls to those of regression; a task in which the method never got there enters with N, so
such a mean is a lower bound, marked ``>=``. The row "all tasks" does the same for the mean of all
curves in units of each task's gain. Goal (issue 2, section 7): reinforce >= 5, TPE >= 2.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.baselines import RandomProposer, Search, TpeProposer, objective_of
from asyndbt.cli import demo_values
from asyndbt.config import Config
from asyndbt.federation import Step, StepDone, Worker
from asyndbt.optim import read_out, uniform_rows
from asyndbt.pocket import SIZES, TASKS, dataset
from asyndbt.run import RunDirectory, prepare_run
from asyndbt.scoring import PromptObjective
from common import map_jobs, parse_changes, parser, table, write_results
from curves import Track, checkpoints, first, mean_curve
from probe import Probe
from rows import site_tables

LOOKS = 5
SHARE = 0.95
_REINFORCE = {"estimator": "reinforce", "draws": 8, "batch_size": 10}
GRID: dict[str, dict[str, Any]] = {
    **{
        f"exponentiated {eta_p:g}/{eta_q:g}": {
            **_REINFORCE,
            "step": "exponentiated",
            "eta_p": eta_p,
            "eta_q": eta_q,
        }
        for eta_p, eta_q in ((0.03, 0.3), (0.1, 1.0), (0.3, 3.0))
    },
    "projection 0.001/0.01": {**_REINFORCE, "step": "projection", "eta_p": 1e-3, "eta_q": 1e-2},
    "adam 0.01": {**_REINFORCE, "step": "adam", "eta_p": 0.01, "eta_q": 0.01},
}
"""Step form and step sizes of p / q; the gradients of `reinforce` scale with N and V."""


@dataclass(frozen=True, slots=True)
class Job:
    """One method on one task with one seed."""

    task: str
    seed: int
    method: str
    calls: int
    rows: int
    changes: Mapping[str, Any]


def work(job: Job, folder: Path) -> Track:
    """Trace one method."""
    known = TASKS[job.task]
    site = known.sites[job.seed % len(known.sites)]
    rows: dict[str, list[dict[str, str]]] = {}
    for split in SIZES:
        rows[split] = dataset(job.task, split, job.rows)
    settings = GRID.get(job.method.removeprefix("reinforce "), {})
    # Beside the calls looked at, the run needs room for what it keeps back and never uses.
    values = {
        **demo_values(job.task),
        "data": {"sites": site_tables(rows, [site], folder)},
        "budget": {"test_share": 1.0, "per_site": {"calls": job.calls + 5_000}},
        "run": {"seed": job.seed, "dir": str(folder / "run")},
    }
    changes = {**job.changes, **{f"method.{key}": value for key, value in settings.items()}}
    config = Config.from_dict(values).override(changes)
    assembly = prepare_run(config, RunDirectory(folder / "run"))
    (ready,) = assembly.sites.values()
    plan = replace(assembly.plan, validate_every=0)
    worker = Worker(site, plan, objective_of(ready), job.seed)
    try:
        if job.method.startswith(("regression", "reinforce")):
            return asyncio.run(trace_worker(worker, Probe(ready), job.calls))
        return asyncio.run(trace_search(objective_of(ready), Probe(ready), job))
    finally:
        ready.close()


async def trace_worker(worker: Worker, probe: Probe, calls: int) -> Track:
    """Drive a worker alone and look at its read-out."""
    plan, curve, marks = worker.plan, [], checkpoints(calls)
    z = uniform_rows(plan.positions, plan.words)
    for number in itertools.count(1):
        work = Step(
            site=worker.site, id=number, iteration=number, z=z, pull=np.zeros_like(z), local_steps=1
        )
        report = await worker.handle(work)
        assert isinstance(report, StepDone)
        spent = report.spent.calls
        if spent >= marks[0]:
            accuracy = await probe.accuracy(
                (read_out(worker.learner.p), read_out(worker.learner.q))
            )
            curve.append((spent, accuracy))
            marks = [mark for mark in marks if mark > spent]
        # A policy that has settled asks nothing new: its curve has ended.
        if not marks or report.exhausted or number * plan.settings.draws > 2 * calls:
            return Track(await probe.plain(), curve)
    raise AssertionError


async def trace_search(objective: PromptObjective, probe: Probe, job: Job) -> Track:
    """Let a search run and look at what it would choose."""
    make: Callable[..., RandomProposer | TpeProposer]
    make = TpeProposer if job.method == "TPE" else RandomProposer
    search = Search(objective, make(objective.shape, job.seed), seed=job.seed)
    curve, marks = [], checkpoints(job.calls)
    while marks and objective.affords_step(1, search.batch):
        await search.trial()
        if objective.spent().calls >= marks[0]:
            pair = await search.choose(LOOKS)
            spent = objective.spent().calls
            curve.append((spent, await probe.accuracy(pair)))
            marks = [mark for mark in marks if mark > spent]
    return Track(await probe.plain(), curve)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--calls", type=int, default=20_000, help="of every method but regression")
    options.add_argument("--regression-calls", type=int, default=4_000)
    options.add_argument("--rows", type=int, default=0, help="generator seed of the tasks' rows")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config changes")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.calls, args.regression_calls = args.tasks[:1], 1, 1_500, 1_000
    changes = parse_changes(args.set)
    methods = {"regression": args.regression_calls}
    methods |= {f"reinforce {setting}": args.calls for setting in GRID}
    methods |= {"TPE": args.calls, "random search": args.calls}
    jobs = [
        Job(task, seed, method, calls, args.rows, changes if method == "regression" else {})
        for task in args.tasks
        for seed in range(args.seeds)
        for method, calls in methods.items()
    ]
    tracks = map_jobs(work, jobs, args.jobs)
    found = {(job.task, job.seed, job.method): t for job, t in zip(jobs, tracks, strict=True)}
    text, summary = report(found, args.tasks, args.seeds, methods)
    runs = [
        {"task": j.task, "seed": j.seed, "method": j.method, "track": t}
        for j, t in zip(jobs, tracks, strict=True)
    ]
    write_results("calls", text, {"summary": summary, "grid": GRID, "runs": runs}, args)


def report(
    found: Mapping[tuple[str, int, str], Track],
    tasks: list[str],
    seeds: int,
    methods: Mapping[str, int],
) -> tuple[str, dict[str, Any]]:
    """Return the table and the summary."""
    marks = checkpoints(max(methods.values()))
    reached: dict[str, dict[str, int | None]] = {}
    ends: dict[str, dict[str, float]] = {}
    scaled: dict[str, list[list[float]]] = {method: [] for method in methods}
    for task in tasks:
        curves = {m: mean_curve([found[task, s, m] for s in range(seeds)], marks) for m in methods}
        base = float(np.mean([found[task, s, "regression"].plain for s in range(seeds)]))
        ends[task] = {m: float(np.mean(curve[-3:])) for m, curve in curves.items()}
        gain = max(max(ends[task].values()) - base, 1e-9)
        wanted = base + SHARE * gain
        reached[task] = {m: first(c, marks, wanted, methods[m]) for m, c in curves.items()}
        for m, curve in curves.items():
            scaled[m].append([(value - base) / gain for value in curve])
    overall = {m: [float(v) for v in np.mean(rows, axis=0)] for m, rows in scaled.items()}
    level = SHARE * max(float(np.mean(curve[-3:])) for curve in overall.values())
    reached["all tasks"] = {m: first(c, marks, level, methods[m]) for m, c in overall.items()}
    rows = []
    for method, limit in methods.items():
        cells = [f"{reached[t][method] or f'> {limit}'}" for t in reached]
        pairs = [(reached[t][method], reached[t]["regression"]) for t in tasks]
        logs = [np.log((own or limit) / theirs) for own, theirs in pairs if theirs]
        bound = ">= " if any(own is None for own, _ in pairs) else ""
        ratio = f"{bound}{np.exp(np.mean(logs)):.1f}" if logs else "-"
        final = np.mean([ends[task][method] for task in tasks])
        rows.append([method, *cells, ratio, f"{final:.1f}"])
    lost = [task for task in tasks if reached[task]["regression"] is None]
    head = ["method", *reached, "ratio to regression", "final accuracy, mean"]
    remark = f"regression itself never got there on: {', '.join(lost)}." if lost else ""
    text = "\n".join(
        [
            "# Model calls to reach 95 % of the gain\n",
            f"One site, {seeds} seeds. {remark}\n",
            table(head, rows),
            "Goal: reinforce (its best row) at least 5 times, TPE at least 2 times the calls of "
            "regression.",
        ]
    )
    return text, {"reached": reached, "final": ends, "marks": marks, "overall": overall}


if __name__ == "__main__":
    main()
