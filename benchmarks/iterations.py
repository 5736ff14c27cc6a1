"""How many server steps to a stationary point? Against the quorum S and the number of sites N.

    python benchmarks/iterations.py [--seeds 8] [--steps 1500] [--jobs 2]

Measured, on tabulated problems with exact gradients and the schedule of Theorem 2 (`theory.py`),
S of N sites drawn by lot in every step: the first server step T(eps) at which the squared
stationarity gap, in total or per site, is below eps. Median over the problems; a run that does not
get there counts as longer than all others. In brackets the steps of sites that it took, S T(eps).
How to read it: the paper remarks that T rises exponentially with N and falls exponentially with S;
its printed bound is polynomial in N - S.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asyndbt.testing import TabularProblem
from common import map_jobs, parser, table, write_results
from theory import SCHEDULED, SHAPE, ExactLoop, Run

SITES = (2, 4, 8)
LEVELS = (0.3, 0.1)
"""Of the gap per site."""
TOTAL = 0.8
"""Of the gap of all sites together, which the theorem speaks of."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run: S of N sites report a step."""

    seed: int
    sites: int
    quorum: int
    steps: int


def work(job: Job, folder: Path) -> list[float]:
    """Return T(eps) for the levels and the total, infinite where the run ended before."""
    problem = TabularProblem(SHAPE, workers=job.sites, seed=job.seed)
    loop = ExactLoop(problem, Run("", SCHEDULED, job.quorum, ""), job.seed)
    levels = [*(job.sites * level for level in LEVELS), TOTAL]
    reached = [float("inf")] * len(levels)
    looks = set(np.unique(np.geomspace(1, job.steps, 200).astype(np.int64)).tolist())
    for turn in range(1, job.steps + 1):
        loop.step()
        if turn in looks:
            gap = loop.gap()
            reached = [
                min(first, turn) if gap <= level else first
                for first, level in zip(reached, levels, strict=True)
            ]
            if np.isfinite(reached).all():
                break
    return reached


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=8, tasks=False)
    options.add_argument("--steps", type=int, default=1_500, help="most server steps")
    args = options.parse_args()
    if args.quick:
        args.seeds, args.steps = 2, 300
    forms = [(n, s) for n in SITES for s in sorted({1, n // 2, n - 1, n})]
    jobs = [Job(seed, n, s, args.steps) for n, s in forms for seed in range(args.seeds)]
    reached = map_jobs(work, jobs, args.jobs)
    rows, figures = [], []
    for number, (n, s) in enumerate(forms):
        times = np.array(reached[number * args.seeds : (number + 1) * args.seeds])
        medians = np.median(times, axis=0)
        rows.append([str(n), str(s), *(_cell(t, s, args.steps) for t in medians)])
        figures.append({"sites": n, "quorum": s, "steps": [_known(run) for run in times.tolist()]})
    head = [
        "sites N",
        "quorum S",
        *(f"{level:g} per site" for level in LEVELS),
        f"{TOTAL:g} in all",
    ]
    text = "\n".join(
        [
            "# Server steps to a stationarity gap, against quorum and sites\n",
            f"Median over {args.seeds} tabulated problems of the first step at which the squared "
            "stationarity gap is below eps; in brackets times S, the steps of sites:\n",
            table(head, rows),
        ]
    )
    write_results("iterations", text, {"per_site": LEVELS, "in_all": TOTAL, "runs": figures}, args)


def _known(times: list[float]) -> list[float | None]:
    return [time if np.isfinite(time) else None for time in times]


def _cell(time: float, quorum: int, most: int) -> str:
    return f"{time:.0f} ({quorum * time:.0f})" if np.isfinite(time) else f"> {most}"


if __name__ == "__main__":
    main()
