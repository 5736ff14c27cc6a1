"""What does local differential privacy cost? Accuracy by epsilon, beside each site tuning alone.

    python benchmarks/privacy.py [--tasks NAME ...] [--seeds 5] [--sites 3 10] [--epsilons 1 4 8]
                                 [--reports 4] [--calls 600] [--rows 0] [--jobs 2]

Measured: accuracy of all sites on their test rows, in per cent, each with the prompt that it keeps
at the end; pocket model, preset "default", virtual clock, rows dealt to three or ten sites: of ten
four, three and three have each of a task's three flavours. Seed s has the rows of generator seed
``--rows`` + s. ``--calls`` are a site's for tuning and choosing, the same everywhere. Ways to tune:

* *alone*: every site as a run of its own.
* *federated*: together, with no privacy and a report after every local step.
* *few reports*: the same with ``--reports`` reports of a site, and as many local steps between them
  as the calls cover.
* *clipped*: with epsilon = 1,000,000: steps are clipped, votes are directions, and next to no noise
  is added.
* *epsilon = ...*: with delta = 1e-5. The noise is drawn from the run's seed, as in any simulation.

How to read it: differences are to *alone*, paired by task and seed; mean and standard error over
runs. *Kept own* is the share of sites that end with their own fragment. Where epsilon = 8 is no
better than *alone*, sites of that number have no use for a federation with such privacy.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.cli import demo_values
from asyndbt.config import Config
from asyndbt.federation import Coordinator, Delays, VirtualEngine
from asyndbt.pocket import TASKS
from asyndbt.run import RunDirectory, prepare_run
from common import differences, estimate, map_jobs, parser, table, write_results
from rows import CUTS, POOL, deal, site_tables

ALONE = "alone"
CLIPPED = 1e6
REFERENCES = 1
_TUNED_SHARE = 0.85
"""Of the calls, those that go into local steps; looks get the others."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run, of all sites or of one alone; `changes` are those of the way to tune."""

    task: str
    seed: int
    dealt: int
    way: str
    names: tuple[str, ...]
    calls: int
    rows: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Right answers on the sites' test rows, their number, and how many sites kept their own."""

    right: float
    tested: int
    kept_own: int
    sites: int


def work(job: Job, folder: Path) -> Outcome:
    """Do one run, and read off at the sites what their prompts score."""
    dealt = deal(job.task, job.dealt, job.rows)
    tested = max(Counter(row["site"] for row in dealt["test"]).values())
    values = {
        **demo_values(job.task),
        "data": {
            "sites": site_tables(dealt, job.names, folder),
            "pool_per_class": POOL // len(TASKS[job.task].labels),
        },
        "federation": {"engine": "virtual"},
        "budget": {"test_share": 1.0, "per_site": {"calls": job.calls + (2 + REFERENCES) * tested}},
        "run": {"seed": job.seed, "dir": str(folder / "run")},
    }
    config = Config.from_dict(values).override(
        {"method.random_icl_draws": REFERENCES, **job.changes}
    )
    setup = prepare_run(config, RunDirectory(folder / "run"))
    workers = {name: site.worker for name, site in setup.sites.items()}
    engine = VirtualEngine(Coordinator(setup.plan), workers, Delays(), seed=job.seed)
    asyncio.run(engine.run(lambda now: None))
    found = [each for w in workers.values() if (each := w.evaluation) is not None]
    return Outcome(
        right=sum(each.tuned.correct for each in found),
        tested=sum(each.tuned.n for each in found),
        kept_own=sum(each.kept_own for each in found),
        sites=len(found),
    )


def ways(epsilons: Sequence[float], reports: int, calls: int) -> dict[str, dict[str, Any]]:
    """Return the ways to tune together, each with its changes of the configuration."""
    step = 20
    few = {
        "method.iterations": reports,
        "method.local_steps": max(1, round(_TUNED_SHARE * calls / step / reports)),
        "federation.quorum": "all",
    }
    private = {"clipped": CLIPPED, **{f"epsilon = {each:g}": each for each in reversed(epsilons)}}
    return {
        "federated": {},
        "few reports": few,
        **{way: {**few, "federation.privacy.epsilon": each} for way, each in private.items()},
    }


def site_names(task: str, sites: int) -> list[str]:
    """Return the names of the sites that a task's rows are dealt to."""
    cuts = zip(TASKS[task].sites, CUTS[sites], strict=True)
    return [f"{flavour}-{number}" for flavour, count in cuts for number in range(1, count + 1)]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--sites", type=int, nargs="+", choices=list(CUTS), default=[3, 10])
    options.add_argument("--epsilons", type=float, nargs="+", default=[1.0, 4.0, 8.0])
    options.add_argument("--reports", type=int, default=4, help="of p, by a site")
    options.add_argument("--calls", type=int, default=600, help="per site")
    options.add_argument("--rows", type=int, default=0, help="generator seed of seed 0's rows")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.sites = args.tasks[:1], 1, args.sites[:1]
    together = ways(args.epsilons, args.reports, args.calls)
    jobs = []
    for task in args.tasks:
        for sites in args.sites:
            names = site_names(task, sites)
            for seed in range(args.seeds):
                given = [(way, tuple(names), changes) for way, changes in together.items()]
                given += [(ALONE, (name,), {}) for name in names]
                jobs += [
                    Job(task, seed, sites, way, some, args.calls, args.rows + seed, changes)
                    for way, some, changes in given
                ]
    outcomes = map_jobs(work, jobs, args.jobs)
    rows, summary = report(jobs, outcomes, args.sites, [ALONE, *together])
    head = ["sites", "way", "accuracy, %", "difference to alone", "95 % interval", "kept own, %"]
    text = "\n".join(
        [
            "# What does local differential privacy cost? Accuracy on test rows, per cent\n",
            f"{args.seeds} seeds, delta = 1e-5, {args.reports} reports of a site and a vote, "
            f"{args.calls} calls a site; ± standard error.\n",
            table(head, rows),
        ]
    )
    runs = [
        {"task": j.task, "seed": j.seed, "sites": j.dealt, "way": j.way, "outcome": o}
        for j, o in zip(jobs, outcomes, strict=True)
    ]
    write_results("privacy", text, {"summary": summary, "runs": runs}, args)


def report(
    jobs: Sequence[Job], outcomes: Sequence[Outcome], sites: Sequence[int], shown: Sequence[str]
) -> tuple[list[list[str]], dict[str, Any]]:
    """Return the rows of the table, and the figures."""
    by_run: dict[tuple[int, str], dict[tuple[str, int], list[Outcome]]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        runs = by_run.setdefault((job.dealt, job.way), {})
        runs.setdefault((job.task, job.seed), []).append(outcome)
    rows, summary = [], {}
    for count in sites:
        alone = [_accuracy(each) for each in by_run[count, ALONE].values()]
        for way in shown:
            runs = by_run[count, way]
            found = [_accuracy(each) for each in runs.values()]
            mean, error = estimate(found)
            gap = differences([a - b for a, b in zip(found, alone, strict=True)])
            kept = 100 * np.mean([o.kept_own / o.sites for each in runs.values() for o in each])
            rows.append([str(count), way, f"{mean:.1f} ± {error:.1f}"])
            if way == ALONE:
                rows[-1] += ["", "", ""]
            else:
                rows[-1] += [
                    f"{gap['mean']:+.1f} ± {gap['error']:.1f}",
                    f"{gap['low']:+.1f} to {gap['high']:+.1f}",
                    f"{kept:.0f}",
                ]
            summary[f"{count} {way}"] = {"accuracy": [mean, error], "gap": gap, "kept_own": kept}
    return rows, summary


def _accuracy(outcomes: Sequence[Outcome]) -> float:
    return 100 * sum(o.right for o in outcomes) / sum(o.tested for o in outcomes)


if __name__ == "__main__":
    main()
