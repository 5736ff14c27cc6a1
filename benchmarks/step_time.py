"""How long is a server step? The engine against what order statistics say, virtual clock.

    python benchmarks/step_time.py [--steps 2000] [--quick]

Measured: virtual seconds per server step of a run without data, 8 sites, the last one ten times
slower, delays of mean 1 s (lognormal with sigma 0.5, and exponential), against two expectations of
"the S-th of N answers":

* fresh: the mean of the S-th order statistic of N fresh delays. That is the step time if all sites
  start anew at every step: exactly so for quorum = N, and for memoryless (exponential) delays at
  any quorum.
* renewal: the mean step time of the process itself: at the S-th arrival the S sites that answered
  start anew and the others go on with what they hold. Simulated directly, in ten lines that share
  nothing with the engine. Sites under way are ahead of fresh ones, so with lognormal delays it is
  shorter than "fresh".

How to read it: the engine should stand within 10 % of "renewal" everywhere, and of "fresh" where
that is exact (goal of the project's issue 2, section 7). Without planes these hold. A refresh of
the lower level is one more exchange with the sites asked, during which no server step is made; the
rows with planes show what that adds at the default interval.
"""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.federation import Coordinator, Plan, Worker
from asyndbt.federation.engines import Delays, VirtualEngine
from asyndbt.optim import Shape, preset
from asyndbt.testing import TabularObjective, TabularProblem
from common import map_jobs, parser, table, write_results
from engines import Enough

SITES, SLOW = 8, 10.0
LAST = f"site-{SITES}"
Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


class Exponential(Delays):
    """Memoryless delays."""

    def seconds(self, site: str, work: int, seed: int) -> float:
        """Return how long the piece of work with this number takes at the site."""
        rng = np.random.default_rng([seed, zlib.crc32(site.encode()), work])
        return float(self.mean * rng.exponential() * self.slow.get(site, 1.0))


KINDS: dict[str, tuple[type[Delays], Draw]] = {
    "lognormal": (Delays, lambda rng, size: rng.lognormal(-0.125, 0.5, size)),
    "exponential": (Exponential, lambda rng, size: rng.exponential(size=size)),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One setting; `planes` is the interval of refreshes, 0 for none."""

    kind: str
    quorum: int
    planes: int
    steps: int


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds per server step."""

    measured: float
    fresh: float
    renewal: float


def work(job: Job, folder: Path) -> Times:
    """Measure one setting."""
    kind, draw = KINDS[job.kind]
    return Times(
        engine_step(kind(slow={LAST: SLOW}), job),
        fresh_step(draw, job.quorum),
        renewal_step(draw, job.quorum),
    )


def engine_step(delays: Delays, job: Job) -> float:
    """Mean seconds per server step in the engine, the first tenth left out."""
    problem = TabularProblem(Shape(1, 2, 1, 2), workers=SITES)
    settings = preset(
        "plain",
        estimator="reinforce",
        draws=2,
        batch_size=1,
        eta_p=1e-9,
        eta_q=1e-9,
        refresh_every=job.planes,
        refresh_until=job.steps,
    )
    plan = Plan(
        sites=tuple(f"site-{number}" for number in range(1, SITES + 1)),
        positions=1,
        words=2,
        settings=settings,
        quorum=job.quorum,
        staleness=job.steps,
        lease=1e9,
        iterations=job.steps,
    )
    sites = {
        name: Worker(name, plan, TabularObjective(problem, number), 0)
        for number, name in enumerate(plan.sites)
    }
    coordinator, times = Coordinator(plan), [0.0]

    def changed(now: float) -> None:
        if coordinator.server.iteration == len(times):
            times.append(now)
        if coordinator.phase != "tuning":
            raise Enough

    try:
        asyncio.run(VirtualEngine(coordinator, sites, delays).run(changed))
    except Enough:
        first = len(times) // 10
        return (times[-1] - times[first]) / (len(times) - 1 - first)
    raise AssertionError


def fresh_step(draw: Draw, quorum: int) -> float:
    """Mean of the S-th order statistic of N fresh delays, the last site slower."""
    drawn = draw(np.random.default_rng(1), (200_000, SITES))
    drawn[:, -1] *= SLOW
    return float(np.partition(drawn, quorum - 1, axis=1)[:, quorum - 1].mean())


def renewal_step(draw: Draw, quorum: int, steps: int = 50_000) -> float:
    """Mean step time when at each step the S sites that answered start anew."""
    rng = np.random.default_rng(2)
    pace = np.ones(SITES)
    pace[-1] = SLOW
    under_way = [(float(delay * pace[v]), v) for v, delay in enumerate(draw(rng, (SITES,)))]
    heapq.heapify(under_way)
    now = start = 0.0
    for step in range(steps):
        answered = [heapq.heappop(under_way) for _ in range(quorum)]
        now = answered[-1][0]
        start = now if step == steps // 10 else start
        for (_, v), delay in zip(answered, draw(rng, (quorum,)), strict=True):
            heapq.heappush(under_way, (now + float(delay * pace[v]), v))
    return (now - start) / (steps - 1 - steps // 10)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, tasks=False, seeds=1)
    options.add_argument("--steps", type=int, default=2_000)
    args = options.parse_args()
    if args.quick:
        args.steps = 300
    planes = preset("plain").refresh_every
    settings = ((4, 0), (SITES, 0), (4, planes), (SITES, planes))
    jobs = [Job(kind, quorum, every, args.steps) for kind in KINDS for quorum, every in settings]
    done = map_jobs(work, jobs, args.jobs)
    rows = [
        [
            job.kind,
            str(job.quorum),
            f"every {job.planes} steps" if job.planes else "none",
            f"{out.measured:.3f}",
            f"{out.fresh:.3f}",
            f"{out.measured / out.fresh - 1:+.1%}",
            f"{out.renewal:.3f}",
            f"{out.measured / out.renewal - 1:+.1%}",
        ]
        for job, out in zip(jobs, done, strict=True)
    ]
    head = ["delays", "quorum", "planes", "measured, s", "fresh", "against", "renewal", "against"]
    text = f"# Virtual seconds per server step, {SITES} sites, one {SLOW:g} times slower\n\n"
    text += table(head, rows)
    runs = [{"job": job, "times": out} for job, out in zip(jobs, done, strict=True)]
    write_results("step_time", text, {"runs": runs}, args)


if __name__ == "__main__":
    main()
