"""What does the Flower engine cost, and what does asynchrony save across machines? Real clock.

    python benchmarks/flower.py [--seeds 3] [--quick]

Measured, with a grid in this process in place of Flower's network and tabulated problems in place
of a language model, so that what is left is the engine:

* overhead: milliseconds per server step of the Flower engine beyond those of the local one, three
  sites and equal work;
* scale: the same with 100 sites;
* bytes: what crosses a site's border per server step, against the bound in ``docs/federation.md``;
* asynchrony: seconds to the same number of server steps with quorum 2 of 3 against quorum 3 of 3,
  one site ten times slower, lognormal work (sigma 0.5) with the same seeds. A hundredth of the time
  scale of a real run: a message costs 0.05 s (Flower: 5 s), work 0.5 s in the mean.

How to read it: asynchronous at least 1.8 times faster; bytes within the bound. Seconds depend on
the machine. Flower's own cost per message is not in here: ``docs/three-hospitals.md`` says it.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.federation import (
    Assignment,
    Coordinator,
    Plan,
    Step,
    StepDone,
    Worker,
    byte_bound,
    decode,
    encode,
)
from asyndbt.federation.engines import Channel, FlowerEngine, Handler, LocalEngine
from asyndbt.federation.engines import _envelope as frames
from asyndbt.optim import Shape, preset
from asyndbt.testing import LoopbackGrid, TabularObjective, TabularProblem
from common import estimate, map_jobs, parser, table, write_results

RUN = "0123456789abcdef"
POSITIONS, WORDS = 3, 6
MESSAGE, WORK, SIGMA, SLOW = 0.05, 0.5, 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """One run: the engine, how many sites, how many it waits for, and for how many steps."""

    kind: str
    seed: int
    sites: int
    quorum: int
    steps: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of all server steps, and bytes per site and step in and out."""

    seconds: float
    bytes_in: float = 0.0
    bytes_out: float = 0.0


def work(job: Job, folder: Path) -> Figures:
    """Carry a run out, and time it from the first server step to the last."""
    names = tuple(f"site-{number:03}" for number in range(job.sites))
    plan = Plan(
        sites=names,
        positions=POSITIONS,
        words=WORDS,
        settings=preset("plain", refresh_every=0),
        quorum=job.quorum,
        staleness=1_000,
        lease=1e6,
        iterations=job.steps,
    )
    problem = TabularProblem(Shape(POSITIONS, WORDS, 2, 6), workers=job.sites, seed=job.seed)
    workers = {
        name: Worker(name, plan, TabularObjective(problem, v, 10**9), job.seed)
        for v, name in enumerate(names)
    }
    coordinator, channel, moments = Coordinator(plan), Channel(), dict[int, float]()

    def changed(now: float) -> None:
        if coordinator.phase == "tuning":
            moments.setdefault(coordinator.server.iteration, time.perf_counter())

    if job.kind == "local":
        asyncio.run(LocalEngine(coordinator, workers, channel).run(changed))
    else:
        asyncio.run(_across(job, coordinator, channel, workers, changed))
    return _figures(job, channel, moments)


async def _across(
    job: Job,
    coordinator: Coordinator,
    channel: Channel,
    workers: dict[str, Worker],
    changed: Callable[[float], None],
) -> None:
    grid = LoopbackGrid()
    for node, worker in enumerate(workers.values()):
        handler = _handler(worker)
        if job.kind == "delays":
            handler = _delayed(handler, worker.site, SLOW if node == 0 else 1.0, job.seed)
        grid.connect(node, handler)
    poll = 0.001 if job.kind == "delays" else 0.0
    engine = FlowerEngine(coordinator, grid, RUN, 1e6, channel, poll=poll, look=0.1)
    await engine.run(changed)


def _handler(worker: Worker) -> Handler:
    async def answer(frame: bytes) -> bytes:
        _, message = frames.unpack_request(frame)
        if not message:
            return frames.pack_reply(encode(worker.join()))
        assignment = decode(message)
        assert isinstance(assignment, Assignment)
        return frames.pack_reply(encode(await worker.handle(assignment)))

    return answer


def _delayed(handler: Handler, site: str, slower: float, seed: int) -> Handler:
    rng = np.random.default_rng([seed, zlib.crc32(site.encode())])

    async def answer(frame: bytes) -> bytes:
        await asyncio.sleep(MESSAGE)
        if isinstance(_content(frame), Step):
            await asyncio.sleep(slower * WORK * rng.lognormal(-(SIGMA**2) / 2, SIGMA))
        return await handler(frame)

    return answer


def _content(frame: bytes) -> object:
    _, message = frames.unpack_request(frame)
    return decode(message) if message else None


def _figures(job: Job, channel: Channel, moments: dict[int, float]) -> Figures:
    last = max(moments)
    counts = [channel.traffic[name] for name in channel.traffic]
    bytes_in, bytes_out = (
        sum(count[kind][1] for count in counts) / max(1, sum(count[kind][0] for count in counts))
        for kind in ("in Step", "out StepDone")
    )
    return Figures((moments[last] - moments[0]) / last * job.steps, bytes_in, bytes_out)


# ---------------------------------------------------------------------- report
def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=3, tasks=False)
    options.add_argument("--steps", type=int, default=300, help="server steps, without delays")
    options.add_argument("--slow-steps", type=int, default=30, help="server steps, with delays")
    args = options.parse_args()
    if args.quick:
        args.seeds, args.steps, args.slow_steps = 1, 50, 8
    shapes: dict[str, tuple[str, int, int, int]] = {
        "local, 3 sites": ("local", 3, 2, args.steps),
        "flower, 3 sites": ("flower", 3, 2, args.steps),
        "local, 100 sites": ("local", 100, 67, args.steps),
        "flower, 100 sites": ("flower", 100, 67, args.steps),
        "synchronous": ("delays", 3, 3, args.slow_steps),
        "asynchronous": ("delays", 3, 2, args.slow_steps),
    }
    jobs = [
        Job(kind, seed, sites, quorum, steps)
        for seed in range(args.seeds)
        for kind, sites, quorum, steps in shapes.values()
    ]
    done = map_jobs(work, jobs, 1)
    found = {name: done[index :: len(shapes)] for index, name in enumerate(shapes)}
    _report(found, shapes, args)


def _report(
    found: dict[str, list[Figures]], shapes: dict[str, tuple[str, int, int, int]], args: Any
) -> None:
    rows = []
    for name, (_, _, _, steps) in shapes.items():
        mean, error = estimate([1000 * figures.seconds / steps for figures in found[name]])
        rows.append([name, f"{mean:.2f} ± {error:.2f}"])
    pairs = zip(found["synchronous"], found["asynchronous"], strict=True)
    faster, spread = estimate([one.seconds / other.seconds for one, other in pairs])
    sample = found["flower, 3 sites"][0]
    bounds = [byte_bound(kind, POSITIONS, WORDS) for kind in (Step, StepDone)]
    text = "\n".join(
        [
            "# The Flower engine over a grid in one process\n",
            table(["run", "ms per server step"], rows),
            f"Asynchronous is {faster:.1f} ± {spread:.1f} times faster (goal: 1.8) to the same "
            f"number of server steps, one of three sites {SLOW:g} times slower.\n",
            f"Bytes per site and step: in {sample.bytes_in:.0f} (bound {bounds[0]}), out "
            f"{sample.bytes_out:.0f} (bound {bounds[1]}), with M = {POSITIONS}, N = {WORDS}.",
        ]
    )
    write_results("flower", text, {"runs": found, "faster": faster}, args)


if __name__ == "__main__":
    main()
