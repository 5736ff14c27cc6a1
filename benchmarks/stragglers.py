"""What does one slow site cost? Asynchronous (quorum 4 of 8) against synchronous, virtual clock.

    python benchmarks/stragglers.py [--task sentiment-consumer] [--seeds 5] [--jobs 2]

Measured, 8 sites cut out of one pocket task (iid), lognormal delays of mean 1 s and sigma 0.5, the
last site ten times slower:

virtual seconds until the read-out's validation loss (consensus z and every site's q, mean over the
sites, asked outside the ledger) first falls to a level. Levels are shares of the fall from the loss
after the first synchronous step to the least loss that every form reaches. All forms have the same
settings and calls per site; asynchronous runs with the default staleness bound and with a wide one.
With ``--quick``, or ``--task tabular``: a tabulated problem and exact losses instead of the pocket
model.
How to read it: goal of the project's issue 2, section 7: asynchronous at least 3 times faster. The
time of a single server step is the matter of ``step_time.py``.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.cli import demo_values
from asyndbt.config import Config
from asyndbt.federation import Coordinator, Plan, Worker
from asyndbt.federation.engines import Delays, VirtualEngine
from asyndbt.optim import IntArray, Shape, preset, read_out
from asyndbt.pocket import TASKS
from asyndbt.run import RunDirectory, prepare_run
from asyndbt.testing import TabularObjective, TabularProblem
from common import estimate, map_jobs, parse_changes, parser, table, write_results
from engines import Enough, finished
from probe import Probe

SITES, SLOW = 8, 10.0
LEVELS = (0.5, 0.75, 0.9, 0.95)
FORMS: dict[str, dict[str, Any]] = {
    "synchronous": {"quorum": SITES, "staleness": 15},
    "asynchronous": {"quorum": 4, "staleness": 15},
    "asynchronous, staleness 200": {"quorum": 4, "staleness": 200},
}
Curve = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    seed: int
    form: str
    task: str
    calls: int
    changes: Mapping[str, Any]


# ---------------------------------------------------------------------- time to a loss
def work(job: Job, folder: Path) -> Curve:
    """Return (virtual seconds, validation loss) after every server step."""
    names, plan, sites, look = (tabular if job.task == "tabular" else pocket)(job, folder)
    coordinator = Coordinator(plan)
    curve: Curve = []
    delays = Delays(slow={names[-1]: SLOW})
    engine = VirtualEngine(coordinator, sites, delays, seed=job.seed)
    settled: dict[str, IntArray] = {}

    def changed(now: float) -> None:
        if coordinator.phase != "tuning":
            raise Enough
        for member in coordinator.roster:
            # The engine computes a report when work is sent, so q of a site under way is ahead.
            if member.outstanding is None or member.sent_at == now:
                settled[member.name] = read_out(sites[member.name].learner.q)
        if coordinator.server.iteration == len(curve):
            words = read_out(coordinator.server.z)
            curve.append(
                (now, float(np.mean([look(name, words, settled[name]) for name in names])))
            )

    try:
        asyncio.run(engine.run(changed))
    except Enough:
        return curve
    raise AssertionError


Setting = tuple[list[str], Plan, dict[str, Worker], Callable[[str, IntArray, IntArray], float]]


def pocket(job: Job, folder: Path) -> Setting:
    """Cut a pocket task into 8 sites."""
    known = TASKS[job.task]
    data = {split: f"pocket:{job.task}/{split}" for split in ("train", "validation", "test")}
    values = {
        **demo_values(job.task),
        "data": {**data, "partition": {"sites": SITES}, "pool_per_class": 20 // len(known.labels)},
        "federation": FORMS[job.form],
        "budget": {"test_share": 1.0, "per_site": {"calls": job.calls + 1_000}},
        "run": {"seed": job.seed, "dir": str(folder / "run")},
    }
    assembly = prepare_run(
        Config.from_dict(values).override(job.changes), RunDirectory(folder / "run")
    )
    probes = {name: Probe(site, "validation") for name, site in assembly.sites.items()}
    memory: dict[tuple[str, bytes, bytes], float] = {}

    def look(name: str, words: IntArray, shown: IntArray) -> float:
        key = (name, words.tobytes(), shown.tobytes())
        if key not in memory:
            # Inside the engine's loop already, and the pocket model never suspends.
            memory[key] = finished(probes[name].score((words, shown))).loss
        return memory[key]

    sites = {name: site.worker for name, site in assembly.sites.items()}
    return list(sites), assembly.plan, sites, look


def tabular(job: Job, folder: Path) -> Setting:
    """Make 8 sites of a tabulated problem."""
    problem = TabularProblem(Shape(3, 6, 2, 6), workers=SITES, seed=job.seed)
    plan = Plan(
        sites=tuple(f"site-{number}" for number in range(1, SITES + 1)),
        positions=3,
        words=6,
        lease=1e9,
        settings=preset("plain"),
        iterations=10_000,
        **FORMS[job.form],
    )
    sites = {
        name: Worker(name, plan, TabularObjective(problem, v, job.calls), job.seed)
        for v, name in enumerate(plan.sites)
    }

    def look(name: str, words: IntArray, shown: IntArray) -> float:
        objective = sites[name].objective
        return finished(objective.validate(words, shown)).loss

    return list(sites), plan, sites, look


def seconds_to(curve: Curve, level: float) -> float | None:
    """First time at which the loss is at the level or below."""
    return next((now for now, loss in curve if loss <= level), None)


# ---------------------------------------------------------------------- report
def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, tasks=False)
    options.add_argument("--task", choices=[*TASKS, "tabular"], default="sentiment-consumer")
    options.add_argument("--calls", type=int, default=2_000, help="per site")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config changes")
    args = options.parse_args()
    if args.quick:
        args.task, args.seeds = "tabular", 2
    changes = parse_changes(args.set)
    jobs = [
        Job(seed, form, args.task, args.calls, changes)
        for seed in range(args.seeds)
        for form in FORMS
    ]
    curves = map_jobs(work, jobs, args.jobs)
    found = {(job.seed, job.form): curve for job, curve in zip(jobs, curves, strict=True)}
    rows, times = loss_rows(found, args)
    head = ["form", *(f"{level:.0%} of the fall" for level in LEVELS), "server steps", "end, s"]
    text = "\n".join(
        [
            f"# Stragglers: {SITES} sites, one {SLOW:g} times slower, virtual clock\n",
            f"{args.task}, {args.seeds} seeds. Virtual seconds to a validation loss, in brackets "
            "how many times faster than synchronous (ratio of the mean times):\n",
            table(head, rows),
            "Goal: asynchronous at least 3 times faster.",
        ]
    )
    runs = [
        {"seed": job.seed, "form": job.form, "curve": curve}
        for job, curve in zip(jobs, curves, strict=True)
    ]
    write_results("stragglers", text, {"seconds": times, "runs": runs}, args)


def loss_rows(
    found: Mapping[tuple[int, str], Curve], args: argparse.Namespace
) -> tuple[list[list[str]], dict[str, dict[str, list[float | None]]]]:
    """Return the table's rows and the times by form and level."""
    times: dict[str, dict[str, list[float | None]]] = {
        form: {f"{level:.0%}": [] for level in LEVELS} for form in FORMS
    }
    for seed in range(args.seeds):
        start = found[seed, "synchronous"][0][1]
        # The level must be one that every form reaches, or there is no time to compare.
        least = max(min(loss for _, loss in found[seed, form]) for form in FORMS)
        for form, level in ((form, level) for form in FORMS for level in LEVELS):
            wanted = start - level * (start - least)
            times[form][f"{level:.0%}"].append(seconds_to(found[seed, form], wanted))
    rows = []
    for form in FORMS:
        cells = []
        for level in LEVELS:
            own = [t for t in times[form][f"{level:.0%}"] if t is not None]
            base = [t for t in times["synchronous"][f"{level:.0%}"] if t is not None]
            ratio = f" ({np.mean(base) / np.mean(own):.1f}x)" if np.mean(own) > 0 else ""
            cells.append(f"{np.mean(own):.1f}{ratio}")
        runs = [found[seed, form] for seed in range(args.seeds)]
        steps, _ = estimate([len(run) - 1 for run in runs])
        end, _ = estimate([run[-1][0] for run in runs])
        rows.append([form, *cells, f"{steps:.0f}", f"{end:.0f}"])
    return rows, times


if __name__ == "__main__":
    main()
