"""What does an update of `regression` cost? Grown from the last fit, and fitted anew.

    python benchmarks/regression.py [--repeats 7] [--quick]

Measured: seconds to add a step of 5 draws on 4 queries to 250, 500 and 1,000 draws at the paper's
sizes, M = 75, N = 100, V = 50, with U = 2. Grown: ``discount = 1``, where the factor of the draws'
covariance gains the rows of the new draws. Anew: a discount just below 1, with which every weight
changes, so that the whole covariance is computed and factorised; the fits agree to what that
discount changes. Best of the repeats, grown and anew in turns in one process.

How to read it: the ratio is what counts. It should grow with the number of draws, since one side
costs O(n^2) and the other O(n^3).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyndbt.optim import (
    Arrays,
    Estimator,
    EstimatorState,
    Evaluations,
    Shape,
    make_estimator,
    preset,
    sample_rows,
    uniform_rows,
)
from common import map_jobs, parser, table, write_results

SHAPE = Shape(positions=75, words=100, slots=2, candidates=50)
QUERIES, BATCH, DRAWS = 200, 4, 5
ALMOST_ONE = 1.0 - 1e-12


@dataclass(frozen=True, slots=True)
class Job:
    """A number of draws seen before the update that is timed."""

    seen: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one update, and the largest difference of the dual weights, relative."""

    grown: float
    anew: float
    difference: float


def step(draws: int, rng: np.random.Generator) -> Evaluations:
    """Return a step's draws from uniform policies, with losses that follow from nothing."""
    return Evaluations(
        sample_rows(uniform_rows(SHAPE.positions, SHAPE.words), draws, rng),
        sample_rows(uniform_rows(SHAPE.slots, SHAPE.candidates), draws, rng),
        rng.choice(QUERIES, BATCH, replace=False),
        rng.random((draws, BATCH)),
    )


def work(job: Job, folder: Path) -> Times:
    """Time updates after `seen` draws."""
    rng = np.random.default_rng(0)
    batches = [step(DRAWS, rng) for _ in range(job.seen // DRAWS)]
    window = job.seen + DRAWS
    grown, anew = (
        make_estimator(preset("default", discount=discount, window=window))
        for discount in (1.0, ALMOST_ONE)
    )
    state = grown.initial(SHAPE)
    for batch in batches:
        state = grown.update(state, batch)
    latest, seconds = step(DRAWS, rng), []
    for _ in range(job.repeats):
        (fast, one), (slow, other) = (timed(each, state, latest) for each in (grown, anew))
        seconds.append((fast, slow))
    best = np.min(seconds, axis=0)
    weights = [np.asarray(fit["weights"], dtype=np.float64) for fit in (one, other)]
    difference = np.abs(weights[0] - weights[1]).max() / np.abs(weights[1]).max()
    return Times(float(best[0]), float(best[1]), float(difference))


def timed(
    estimator: Estimator, state: Arrays, evaluations: Evaluations
) -> tuple[float, EstimatorState]:
    """Return the seconds of an update and what came of it."""
    started = time.perf_counter()
    updated = estimator.update(state, evaluations)
    return time.perf_counter() - started, updated


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, tasks=False, seeds=1)
    options.add_argument("--repeats", type=int, default=7)
    args = options.parse_args()
    if args.quick:
        args.repeats = 2
    jobs = [Job(seen, args.repeats) for seen in (250, 500, 1_000)]
    done = map_jobs(work, jobs, 1)
    rows = [
        [
            f"{job.seen:,}",
            f"{1e3 * out.anew:.1f}",
            f"{1e3 * out.grown:.1f}",
            f"{out.anew / out.grown:.1f}",
            f"{out.difference:.0e}",
        ]
        for job, out in zip(jobs, done, strict=True)
    ]
    head = ["draws seen", "anew, ms", "grown, ms", "ratio", "difference of the fits"]
    text = "# An update of regression: grown from the last fit against fitted anew\n\n"
    text += f"M = {SHAPE.positions}, N = {SHAPE.words}, V = {SHAPE.candidates}, "
    text += f"U = {SHAPE.slots}; {DRAWS} new draws on {BATCH} queries.\n\n"
    text += table(head, rows)
    runs = [{"job": job, "times": out} for job, out in zip(jobs, done, strict=True)]
    write_results("regression", text, {"runs": runs}, args)


if __name__ == "__main__":
    main()
