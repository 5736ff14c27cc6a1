"""Does federation pay? Three sites by AsynDBT against each site tuning alone, at equal calls.

    python benchmarks/federation.py [--tasks NAME ...] [--seeds 5] [--sizes 10 20 60] [--rows 0]
                                    [--jobs 2]

Measured: accuracy on the test split (three sites pooled, 360 rows), pocket model, preset "default",
with 10, 20 and 60 training queries per class and site. Both sides have the same rows, the same
split, the same pool of demonstrations (20 per class and site) and the same 2,000 calls per site;
"alone" runs every site as a run of its own. 60 queries and 20 demonstrations per class are more
than a demo data set has at a site, so training rows come from several seeds of the same generator,
``--rows`` and on; validation and test rows are those of ``--rows``. Validation rows per class can
be cut to the size of the training set with ``--validation-like-training``.

How to read it: a positive difference says that sites tune better together. It is paired by seed;
error and interval are over seeds (of the means over tasks in the last row). Goal: at
least +3 at 10 per class, never below -1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyndbt.cli import demo_values
from asyndbt.config import Config, MethodConfig
from asyndbt.pocket import TASKS, dataset
from common import (
    Outcome,
    differences,
    estimate,
    map_jobs,
    parse_changes,
    parser,
    run_once,
    table,
    write_results,
)
from rows import site_tables, training_rows

POOL = 20


@dataclass(frozen=True, slots=True)
class Job:
    """One run: all sites together, or one site alone."""

    task: str
    seed: int
    size: int
    sites: tuple[str, ...]
    calls: int
    validation: int | None
    rows_per_class: int
    rows: int
    changes: Mapping[str, Any]


def work(job: Job, folder: Path) -> Outcome:
    """Do one run on files with the rows of its sites."""
    rows = {
        "train": training_rows(job.task, job.rows_per_class, job.rows),
        "validation": dataset(job.task, "validation", job.rows),
        "test": dataset(job.task, "test", job.rows),
    }
    tested = max(Counter(row["site"] for row in rows["test"]).values())
    looks = 2 + MethodConfig().random_icl_draws
    data: dict[str, Any] = {
        "sites": site_tables(rows, job.sites, folder),
        "pool_per_class": POOL,
        "train_per_class": job.size,
    }
    if job.validation:
        data["validation_per_class"] = job.validation
    values = {
        **demo_values(job.task),
        "data": data,
        "budget": {"test_share": 1.0, "per_site": {"calls": job.calls + looks * tested}},
        "run": {"seed": job.seed, "dir": str(folder / "run")},
    }
    return run_once(job.task, Config.from_dict(values).override(job.changes))


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[10, 20, 60], help="per class")
    options.add_argument("--calls", type=int, default=2_000, help="per site")
    options.add_argument("--rows", type=int, default=0, help="generator seed of the tasks' rows")
    options.add_argument("--validation-like-training", action="store_true")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config changes")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.calls, args.sizes = args.tasks[:1], 2, 1_000, args.sizes[:1]
    changes, rows_per_class = parse_changes(args.set), POOL + max(args.sizes)
    jobs = []
    for task in args.tasks:
        sites = tuple(TASKS[task].sites)
        for size in args.sizes:
            few = size if args.validation_like_training else None
            for seed in range(args.seeds):
                jobs += [
                    Job(task, seed, size, some, args.calls, few, rows_per_class, args.rows, changes)
                    for some in (sites, *((site,) for site in sites))
                ]
    outcomes = map_jobs(work, jobs, args.jobs)
    found = {
        (job.task, job.size, job.seed, job.sites): outcome
        for job, outcome in zip(jobs, outcomes, strict=True)
    }
    runs = [
        {"size": job.size, "sites": job.sites, "outcome": outcome}
        for job, outcome in zip(jobs, outcomes, strict=True)
    ]
    text, summary = report(found, args.tasks, args.sizes, args.seeds)
    write_results("federation", text, {"summary": summary, "runs": runs}, args)


def report(
    found: Mapping[tuple[str, int, int, tuple[str, ...]], Outcome],
    tasks: list[str],
    sizes: list[int],
    seeds: int,
) -> tuple[str, dict[str, Any]]:
    """Return the table and the summary."""

    def together(task: str, size: int, seed: int) -> float:
        return found[task, size, seed, tuple(TASKS[task].sites)].tuned

    def alone(task: str, size: int, seed: int) -> float:
        each = [found[task, size, seed, (site,)] for site in TASKS[task].sites]
        return sum(one.tuned * one.n for one in each) / sum(one.n for one in each)

    rows, summary = [], {}
    for size in sizes:
        for name, some in [*((task, [task]) for task in tasks), ("**mean**", tasks)]:
            joint, own = (
                [sum(of(t, size, seed) for t in some) / len(some) for seed in range(seeds)]
                for of in (together, alone)
            )
            gap = differences([a - b for a, b in zip(joint, own, strict=True)])
            rows.append(
                [
                    str(size),
                    name,
                    f"{estimate(own)[0]:.1f}",
                    f"{estimate(joint)[0]:.1f}",
                    f"{gap['mean']:+.1f} ± {gap['error']:.1f}",
                    f"{gap['low']:+.1f} to {gap['high']:+.1f}",
                ]
            )
            if some is tasks:
                summary[str(size)] = {**gap, "alone": estimate(own), "together": estimate(joint)}
    head = ["per class and site", "task", "alone", "together", "difference", "95 % interval"]
    text = "\n".join(
        [
            "# Does federation pay? Accuracy on the test split, per cent\n",
            f"Three sites, {seeds} seeds, difference ± standard error.\n",
            table(head, rows),
            "Goal: at least +3 at 10 per class, never below -1.",
        ]
    )
    return text, summary


if __name__ == "__main__":
    main()
