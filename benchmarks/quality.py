"""How good is the tuned prompt? Against plain prompt, random demonstrations, random search, cenDBT.

    python benchmarks/quality.py [--tasks NAME ...] [--seeds 5] [--jobs 2] [--set method.eta_p=3.0]

Measured: accuracy on the test split (360 rows, three sites pooled) in per cent, pocket model,
preset "default", the data of `asyndbt demo`; a seed draws pools, minibatches and prompts anew, the
test rows stay. Every method has 2,000 model calls per site for tuning and confirming; the final
evaluation is paid from an extra part of the budget and not counted.

* AsynDBT: `asyndbt.tune`, asynchronous, quorum "majority".
* cenDBT: one worker that holds all data and has the sum of the sites' calls.
* random search: `asyndbt.baselines.halving` at every site on its own: random joint prompts, halved
  on growing sets of training queries, the last 10 compared on validation. The strongest simple form
  we know; "best of random" is the naive one, the least loss on a minibatch of 10 and no validation.

How to read it: differences are paired by seed; the standard error is that of the mean over seeds
(in the last row of the seeds' means over tasks), so it holds for these tasks and test rows.
A target that is missed is printed as missed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.baselines.halving import halving_search
from asyndbt.baselines.search import RandomProposer, Search
from asyndbt.baselines.site import objective_of
from asyndbt.cli.demo import demo_config
from asyndbt.federation import PromptObjective, Score, TestScores
from asyndbt.run.assembly import RunSite, assemble
from asyndbt.run.directory import RunDirectory
from common import (
    Outcome,
    differences,
    estimate,
    map_jobs,
    parse_changes,
    parser,
    run_pocket,
    table,
    write_results,
)

METHODS = ("asyndbt", "cendbt", "random search", "best of random")
TESTED = 360
TARGETS = {"plain": 25.0, "random_icl": 15.0, "random search": 10.0, "cendbt": -2.0}


@dataclass(frozen=True, slots=True)
class Job:
    """One method on one task with one seed; `calls` per site for tuning and confirming."""

    task: str
    seed: int
    method: str
    calls: int
    changes: Mapping[str, Any]


def work(job: Job, folder: Path) -> Outcome:
    """Do one job."""
    config = demo_config(job.task, job.seed, folder / "run").override(job.changes)
    draws = 2 + config.method.random_icl_draws
    sites = 1 if job.method == "cendbt" else 3
    per_site = job.calls * 3 // sites + draws * TESTED // sites
    changes = {**job.changes, "budget.per_site": {"calls": per_site}}
    if job.method in ("asyndbt", "cendbt"):
        changes["method.centralised"] = job.method == "cendbt"
        return run_pocket(job.task, job.seed, changes, folder)
    return search_all(job, changes, folder)


def search_all(job: Job, changes: Mapping[str, Any], folder: Path) -> Outcome:
    """Search at every site on its own; accuracies are pooled over the sites."""
    config = demo_config(job.task, job.seed, folder / "run").override(changes)
    started, scores, calls = time.perf_counter(), [], 0
    for number, site in enumerate(assemble(config, RunDirectory(folder / "run")).sites.values()):
        score, spent = asyncio.run(search_site(site, 1000 * number + job.seed, job.method))
        scores.append(score)
        calls += spent
        site.close()

    def pooled(kind: str) -> float:
        parts: list[Score] = [getattr(score, kind) for score in scores]
        return 100 * sum(part.correct for part in parts) / sum(part.n for part in parts)

    return Outcome(
        task=job.task,
        seed=job.seed,
        plain=pooled("plain"),
        random_icl=pooled("random_icl"),
        tuned=pooled("tuned"),
        n=sum(score.tuned.n for score in scores),
        calls=calls,
        iterations=0,
        stop_reason="budget",
        seconds=time.perf_counter() - started,
    )


async def search_site(site: RunSite, seed: int, method: str) -> tuple[TestScores, int]:
    """Return the test scores of a random search and the calls of the search."""
    objective: PromptObjective = objective_of(site)
    if method == "random search":
        calls = objective.gateway.budget.remaining().calls
        assert calls is not None
        pair = await halving_search(objective, seed, calls=calls)
    else:
        # The naive form looks at no validation data, so those calls are its own to rank with.
        objective.gateway.budget.release("validation")
        search = Search(objective, RandomProposer(objective.shape, seed), batch=10, seed=seed)
        while objective.affords_step(search.batch):
            await search.trial()
        pair = min(search.tried, key=lambda tried: tried[0])[1]
    spent = objective.spent().calls
    return await objective.test(*pair, np.random.default_rng([seed, 103])), spent


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--calls", type=int, default=2_000, help="per site")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config changes")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.calls = args.tasks[:1], 2, 800
    changes = parse_changes(args.set)
    jobs = [
        Job(task, seed, method, args.calls, changes)
        for task in args.tasks
        for seed in range(args.seeds)
        for method in METHODS
    ]
    outcomes = map_jobs(work, jobs, args.jobs)
    found = {(job.task, job.seed, job.method): out for job, out in zip(jobs, outcomes, strict=True)}
    runs = [
        {"method": job.method, "outcome": outcome}
        for job, outcome in zip(jobs, outcomes, strict=True)
    ]
    text, summary = report(found, args.tasks, args.seeds)
    write_results("quality", text, {"summary": summary, "runs": runs}, args)


def report(
    found: Mapping[tuple[str, int, str], Outcome], tasks: list[str], seeds: int
) -> tuple[str, dict[str, Any]]:
    """Return the tables and the summary."""

    def value(task: str, seed: int, kind: str) -> float:
        if kind in ("plain", "random_icl"):
            return float(getattr(found[task, seed, "asyndbt"], kind))
        return found[task, seed, kind].tuned

    def over_seeds(of: Callable[[str, int], float], some: list[str]) -> list[float]:
        return [sum(of(task, seed) for task in some) / len(some) for seed in range(seeds)]

    kinds = ("plain", "random_icl", "best of random", "random search", "cendbt", "asyndbt")
    rows = []
    for name, some in [*((task, [task]) for task in tasks), ("**mean**", tasks)]:
        cells = []
        for kind in kinds:
            mean, error = estimate(over_seeds(lambda t, s, k=kind: value(t, s, k), some))  # type: ignore[misc]
            cells.append(f"{mean:.1f} ± {error:.1f}")
        rows.append([name, *cells])
    head = ["task", "plain", "random demonstrations", *kinds[2:4], "cenDBT", "AsynDBT"]
    summary: dict[str, Any] = {}
    verdicts = []
    for kind in (*TARGETS, "best of random"):
        gaps = over_seeds(lambda t, s, k=kind: value(t, s, "asyndbt") - value(t, s, k), tasks)  # type: ignore[misc]
        gap = differences(gaps)
        target = TARGETS.get(kind)
        met = "" if target is None else "yes" if gap["mean"] >= target else "**no**"
        summary[kind] = {**gap, "target": target}
        wanted = "" if target is None else f">= {target:+.0f}"
        interval = f"{gap['low']:+.1f} to {gap['high']:+.1f}"
        verdicts.append([kind, f"{gap['mean']:+.1f} ± {gap['error']:.1f}", interval, wanted, met])
    calls = [
        [
            method,
            f"{estimate([o.calls / 3 for (_, _, m), o in found.items() if m == method])[0]:,.0f}",
            f"{estimate([o.seconds for (_, _, m), o in found.items() if m == method])[0]:.1f}",
        ]
        for method in METHODS
    ]
    text = "\n".join(
        [
            "# Quality: accuracy on the test split, per cent\n",
            f"Mean over {seeds} seeds ± standard error.\n",
            table(head, rows),
            "AsynDBT minus ..., mean over tasks:\n",
            table(["reference", "difference", "95 % interval", "target", "met"], verdicts),
            table(["method", "calls per site, tuning and confirming", "seconds"], calls),
        ]
    )
    return text, summary


if __name__ == "__main__":
    main()
