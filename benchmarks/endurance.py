"""Does a long run grow? Memory and states over 2,000 server steps of 50 sites that come and go.

    python benchmarks/endurance.py [--steps 2000] [--sites 50] [--quick]

A tabulated problem in place of a language model, messages encoded and decoded, the virtual engine,
a quorum of half of the sites, lognormal delays. Every site dies once, one after the other over the
whole run, and comes back a tenth of the run later, so that about a tenth of them is gone at any
time. Measured every fiftieth of the run: memory of the process (resident, from Linux's
``/proc/self/statm``), bytes of the checkpoint and of all sites' states, planes kept, sites gone.

How to read it: after the first quarter, in which windows fill, nothing may rise with the steps.
"Rise" is the slope of a straight line through the later moments, over their whole length, in
per cent of their mean.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.federation import Coordinator, Plan, Worker, snapshot
from asyndbt.federation.engines import Delays, VirtualEngine
from asyndbt.optim import Shape, preset
from asyndbt.testing import TabularObjective, TabularProblem
from common import RESULTS, map_jobs, parser, table, write_results
from engines import Enough

SHAPE = Shape(3, 8, 2, 4)
MOMENTS = 50


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    sites: int
    steps: int


@dataclass(frozen=True, slots=True)
class Moment:
    """What there was after a server step; sizes in bytes."""

    step: int
    seconds: float
    memory: int
    checkpoint: int
    states: int
    planes: int
    gone: int


def work(job: Job, folder: Path) -> list[Moment]:
    """Carry the run out, and look at it from time to time."""
    problem = TabularProblem(SHAPE, workers=job.sites)
    names = tuple(f"site-{number}" for number in range(job.sites))
    plan = Plan(
        sites=names,
        positions=SHAPE.positions,
        words=SHAPE.words,
        # With so much entropy no policy settles, which would end the run.
        settings=preset(
            "plain",
            draws=4,
            batch_size=2,
            refresh_every=10,
            window=64,
            step="exponentiated",
            entropy=1.0,
        ),
        quorum=job.sites // 2,
        lease=10.0,
        iterations=job.steps,
    )
    sites = {
        name: Worker(name, plan, TabularObjective(problem, number), 0)
        for number, name in enumerate(names)
    }
    coordinator, started = Coordinator(plan), time.perf_counter()
    found: list[Moment] = []

    def changed(now: float) -> None:
        coordinator.notices()
        step, every = coordinator.server.iteration, job.steps // MOMENTS
        if step >= every * (len(found) + 1):
            state = snapshot(coordinator)
            found.append(
                Moment(
                    step,
                    time.perf_counter() - started,
                    _resident(),
                    len(state),
                    sum(len(site.state()) for site in sites.values()),
                    len(coordinator.server.planes),
                    sum(member.gone for member in coordinator.roster),
                )
            )
        if coordinator.phase != "tuning":
            assert step == job.steps, coordinator.stop_reason
            raise Enough

    engine = VirtualEngine(coordinator, sites, _churn(names, job.steps))
    with suppress(Enough):
        asyncio.run(engine.run(changed))
    return found


def _churn(names: tuple[str, ...], seconds: float) -> Delays:
    """Return delays under which sites die one after the other; a step takes about a second."""
    times = {name: seconds * (0.02 + 0.9 * i / len(names)) for i, name in enumerate(names)}
    back = {name: dead + seconds / 10 for name, dead in times.items()}
    return Delays(mean=1.0, dead=times, rejoin=back)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def rise(moments: list[Moment], name: str) -> float:
    """Return by how many per cent a figure rises over the last three quarters."""
    late = moments[len(moments) // 4 :]
    steps = np.array([moment.step for moment in late], dtype=float)
    values = np.array([getattr(moment, name) for moment in late], dtype=float)
    slope = np.polyfit(steps, values, 1)[0]
    return float(100 * slope * (steps[-1] - steps[0]) / values.mean()) if values.any() else 0.0


def draw(moments: list[Moment], name: str) -> None:
    """Write the figure."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 3))
    for what, label in (("memory", "memory"), ("states", "states"), ("checkpoint", "checkpoint")):
        values = np.array([getattr(moment, what) for moment in moments]) / 2**20
        axis.plot([moment.step for moment in moments], values, label=label)
    axis.set(xlabel="server step", ylabel="MiB", yscale="log")
    axis.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.svg")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=1, tasks=False)
    options.add_argument("--steps", type=int, default=2_000)
    options.add_argument("--sites", type=int, default=50)
    args = options.parse_args()
    if args.quick:
        args.steps, args.sites = 200, 10
    (moments,) = map_jobs(work, [Job(args.sites, args.steps)], 1)
    head = ["step", "memory, MiB", "checkpoint, KiB", "states, KiB", "planes", "gone", "seconds"]
    rows: list[list[str]] = [_row(moment) for moment in (moments[0], *moments[7::7])]
    rises: dict[str, Any] = {
        name: rise(moments, name) for name in ("memory", "checkpoint", "states")
    }
    rows.append(["rise", *(f"{value:+.1f} %" for value in rises.values()), "", "", ""])
    draw(moments, "endurance-quick" if args.quick else "endurance")
    text = "\n".join([f"# {args.steps:,} server steps of {args.sites} sites\n", table(head, rows)])
    figures = {"rise": rises, "moments": [asdict(moment) for moment in moments]}
    write_results("endurance", text, figures, args)


def _row(moment: Moment) -> list[str]:
    return [
        f"{moment.step:,}",
        f"{moment.memory / 2**20:.1f}",
        f"{moment.checkpoint / 2**10:.0f}",
        f"{moment.states / 2**10:.0f}",
        str(moment.planes),
        str(moment.gone),
        f"{moment.seconds:.0f}",
    ]


if __name__ == "__main__":
    main()
