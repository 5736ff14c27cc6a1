"""How fast is the coordinator? One large server step, and ten thousand workers.

    python benchmarks/coordinator.py [--part step|many] [--workers 1000] [--repeats 5] [--quick]

Measured, each part in a process of its own:

1. step: one `server_step` at 1,000 workers, M = 75, N = 100, 10 planes per position, quorum 500
   (every second worker), against `numpy.copyto` of the arrays that it must read: all policies, all
   multipliers theta, the planes' signs, and the reports of the quorum. The copy goes into memory
   that exists already, array by array, which is the fastest a copy can be; the ratio to
   `array.copy()`, which has to be given its memory first, and the ratio without the reports are
   given too. Median of the repeats, step and copy in turns in the same process. Peak
   memory is the process's after its first step (`ru_maxrss`, making the state and the memory for
   the copy included), and what a step takes beyond its state (`tracemalloc`, in
   a repeat that is not timed).
2. many: 10,000 workers, 100 server steps, M = 8, N = 50, quorum 100, staleness 1,000 (with the
   default of 15 nearly all sites are overdue at step 15 and the server would wait for every one of
   them), planes off, lognormal delays of one second, through `Coordinator` and `VirtualEngine`,
   real messages encoded and decoded. The objective is trivial (losses zero, no model), the
   estimator `reinforce` with 2 draws. With ``--profile`` the 25 functions with most time of their
   own are printed.

How to read it: goals: ratio <= 3; part 2 under a minute.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import resource
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.federation import Coordinator, Plan, Worker
from asyndbt.federation.engines import Delays, VirtualEngine
from asyndbt.optim import (
    FloatArray,
    IntArray,
    ServerState,
    Shape,
    add_planes,
    preset,
    server_step,
)
from asyndbt.testing import TabularObjective, TabularProblem
from common import map_jobs, parser, table, write_results
from engines import Enough

POSITIONS, WORDS, PER_POSITION = 75, 100, 10
MANY_POSITIONS, MANY_WORDS, MANY_QUORUM = 8, 50, 100


@dataclass(frozen=True, slots=True)
class Job:
    """One part of the benchmark."""

    part: str
    workers: int
    steps: int
    profile: bool


# ---------------------------------------------------------------------- one server step
def filled_state(workers: int, rng: np.random.Generator) -> ServerState:
    """Return a state with random policies, multipliers and planes."""
    state = ServerState.initial(workers, POSITIONS, WORDS)
    for row in range(workers):
        policy = rng.random((POSITIONS, WORDS))
        state.p_all[row] = policy / policy.sum(axis=1, keepdims=True)
        state.theta[row] = 0.01 * rng.standard_normal((POSITIONS, WORDS))
    planes = state.planes
    for _ in range(PER_POSITION):
        target = np.roll(state.p_all, int(rng.integers(1, state.p_all.shape[0])), axis=0)
        planes = add_planes(planes, state.p_all, state.z, target, target[0], eps=0.0)
    state.reported[:] = True
    return replace(state, planes=replace(planes, multipliers=np.full(len(planes), 0.1)))


def one_step(workers: int, repeats: int) -> dict[str, Any]:
    """Time a server step against a copy of what it reads."""
    state = filled_state(workers, np.random.default_rng(0))
    settings = preset("plain").model_copy(update={"plane_gamma": -1.0})  # Every plane stays.
    active = np.arange(0, workers, 2)
    reports = state.p_all[active][::-1].copy()
    read: dict[str, Any] = {
        "policies": state.p_all,
        "theta": state.theta,
        "signs": state.planes.a,
        "reports": reports,
    }
    target = np.empty(max(array.nbytes for array in read.values()), dtype=np.uint8)
    target.fill(0)
    steps, copies, freshes, peak = [], [], [], 0.0
    for _ in range(repeats + 1):
        started = time.perf_counter()
        state = server_step(state, active, reports, settings)
        steps.append(time.perf_counter() - started)
        peak = peak or _peak_megabytes()
        copies.append({name: _copy_seconds(array, target) for name, array in read.items()})
        started = time.perf_counter()
        fresh = [array.copy() for array in read.values()]
        freshes.append(time.perf_counter() - started)
        del fresh
    assert len(state.planes) == POSITIONS * PER_POSITION
    tracemalloc.start()
    server_step(state, active, reports, settings)
    beyond = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    # The first turn warms up.
    step = float(np.median(steps[1:]))
    copy = {name: float(np.median([c[name] for c in copies[1:]])) for name in read}
    everything = sum(copy.values())
    return {
        "workers": workers,
        "megabytes": {name: array.nbytes / 2**20 for name, array in read.items()},
        "step_seconds": step,
        "copy_seconds": copy,
        "ratio": step / everything,
        "ratio_to_array_copy": step / float(np.median(freshes[1:])),
        "ratio_without_reports": step / (everything - copy["reports"]),
        "peak_megabytes": peak,
        "step_beyond_state_megabytes": beyond,
    }


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _copy_seconds(array: Any, target: Any) -> float:
    out = target[: array.nbytes].view(array.dtype).reshape(array.shape)
    started = time.perf_counter()
    np.copyto(out, array)
    return time.perf_counter() - started


# ---------------------------------------------------------------------- ten thousand workers
class Nothing(TabularObjective):
    """No data and no model: losses are zero."""

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Return zeros."""
        return np.zeros((len(words), len(queries)))


def many_workers(workers: int, steps: int, profile: bool) -> dict[str, Any]:
    """Time a run of many workers to a number of server steps."""
    # Only its shape and its number of queries are used, so the table may be of another size.
    problem = TabularProblem(Shape(1, 2, 1, 2), workers=1)
    problem.shape = Shape(MANY_POSITIONS, MANY_WORDS, 2, 5)
    names = tuple(f"site-{number}" for number in range(workers))
    plan = Plan(
        sites=names,
        positions=MANY_POSITIONS,
        words=MANY_WORDS,
        settings=preset("plain", estimator="reinforce", draws=2, batch_size=1, refresh_every=0),
        quorum=min(MANY_QUORUM, workers),
        staleness=1_000,
        lease=1e9,
        iterations=steps,
    )
    objective = Nothing(problem, 0)
    sites = {name: Worker(name, plan, objective, 0) for name in names}
    coordinator, moments = Coordinator(plan), [time.perf_counter()]

    def changed(now: float) -> None:
        coordinator.notices()
        if coordinator.server.iteration == len(moments):
            moments.append(time.perf_counter())
        if coordinator.phase != "tuning":
            raise Enough

    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    with suppress(Enough):
        asyncio.run(VirtualEngine(coordinator, sites, Delays(mean=1.0)).run(changed))
    profiler.disable()
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    return {
        "workers": workers,
        "steps": coordinator.server.iteration,
        "quorum": plan.quorum,
        "seconds": moments[-1] - moments[0],
        "seconds_to_first_step": moments[1] - moments[0],
        "peak_megabytes": _peak_megabytes(),
    }


# ---------------------------------------------------------------------- report
def work(job: Job, folder: Path) -> dict[str, Any]:
    """Do one part."""
    if job.part == "step":
        return one_step(job.workers, job.steps)
    return many_workers(job.workers, job.steps, job.profile)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, tasks=False)
    options.add_argument("--part", choices=["step", "many"], help="one of the two only")
    options.add_argument("--workers", type=int, default=1_000, help="of the server step")
    options.add_argument("--many", type=int, default=10_000, help="workers of the second part")
    options.add_argument("--steps", type=int, default=100, help="of the second part")
    options.add_argument("--repeats", type=int, default=5, help="of the server step")
    options.add_argument("--profile", action="store_true")
    args = options.parse_args()
    if args.quick:
        args.workers, args.many, args.steps = 100, 500, 20
    jobs = [
        Job("step", args.workers, args.repeats, args.profile),
        Job("many", args.many, args.steps, args.profile),
    ]
    chosen = [job for job in jobs if args.part in (None, job.part)]
    # One after the other, each in a fresh process: neither time nor memory of the other counts.
    done = {job.part: map_jobs(work, [job], 1)[0] for job in chosen}
    text = "\n".join(["# Coordinator\n", *(report(part, out) for part, out in done.items())])
    write_results("coordinator", text, done, args)


def report(part: str, out: dict[str, Any]) -> str:
    """Return a part's table."""
    rows: Sequence[tuple[str, str]]
    if part == "step":
        sizes = ", ".join(f"{name} {size:,.0f}" for name, size in out["megabytes"].items())
        rows = [
            (
                "workers, M, N, planes per position",
                f"{out['workers']:,}, {POSITIONS}, {WORDS}, {PER_POSITION}",
            ),
            ("arrays read, MiB", sizes),
            ("server step", f"{out['step_seconds']:.3f} s"),
            ("copy of these arrays", f"{sum(out['copy_seconds'].values()):.3f} s"),
            ("ratio (goal <= 3)", f"{out['ratio']:.2f}"),
            ("ratio to `array.copy()`, memory fresh", f"{out['ratio_to_array_copy']:.2f}"),
            ("ratio, reports not counted", f"{out['ratio_without_reports']:.2f}"),
            ("peak memory of the process", f"{out['peak_megabytes']:,.0f} MiB"),
            ("peak of a step beyond its state", f"{out['step_beyond_state_megabytes']:,.0f} MiB"),
        ]
        return table(["one server step", ""], rows)
    rows = [
        ("steps, quorum, M, N", f"{out['steps']}, {out['quorum']}, {MANY_POSITIONS}, {MANY_WORDS}"),
        ("seconds (goal < 60)", f"{out['seconds']:.1f}"),
        ("of these until the first step", f"{out['seconds_to_first_step']:.1f}"),
        ("peak memory of the process", f"{out['peak_megabytes']:,.0f} MiB"),
    ]
    return table([f"{out['workers']:,} workers", ""], rows)


if __name__ == "__main__":
    main()
