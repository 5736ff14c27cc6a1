r"""What do two levels, planes and multipliers gain? On problems made for them.

    python benchmarks/two_levels.py [--seeds 24] [--calls 500] [--jobs 2]
    python benchmarks/two_levels.py --label planes --first 100 --seeds 80 \
        --variants full "no planes"
    python benchmarks/two_levels.py --label planes_clear --first 300 --seeds 80 --pairing 3 \
        --noise 1 --variants full "no planes"

Measured, on tabulated problems of three sites that disagree about words, where what a word does
depends on the demonstration beside it and the first site has three times as much at stake (so that
the mean of the sites' policies, a vote, is not the minimiser of the sum): the distance from the
enumerated optimum, in per cent of the range of losses, at equal calls, of

* z and q: the read-out of the consensus with that of every site's q;
* z: the same fragment with the best demonstrations that each site has for it;
* end: what the run ends with, after fragments and demonstrations were compared.

How to read it: differences are paired by problem, with 95 % intervals; below zero the variant is
nearer to the optimum than the full method. Settings were chosen on the problems of seeds 1000 to
1015, not among those reported. Effects have a standard deviation of one nat, so that step sizes and
multipliers are of that scale; all variants know the tables' scales by the same priors. The commands
with a label are about planes alone, on more problems, as noisy as in the first and less noisy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.federation import Coordinator, Plan, Worker
from asyndbt.federation.engines import Delays, VirtualEngine
from asyndbt.optim import IntArray, Settings, Shape, read_out
from asyndbt.testing import TabularObjective, TabularProblem
from common import differences, estimate, map_jobs, parser, table, write_results

SHAPE, STAKES = Shape(2, 6, 1, 6), (3.0, 1.0, 1.0)
PRIORS = {"positional_words": 1.0, "shared_words": 0.0, "discount": 1.0}
RIDGE = 2.25
"""Ridge penalty over the variance of the noise."""
PLANES = {
    "refresh_every": 3,
    "lower_rounds": 5,
    "plane_tolerance": 2.0,
    "eta_lambda": 0.05,
    "eta_lower": 0.5,
    "c1_min": 15.0,
}
FULL: dict[str, Any] = {
    **PRIORS,
    **PLANES,
    "distinct_words": False,
    "pairs": 1.0,
    "entropy": 0.0,
    "eta_p": 0.5,
    "eta_q": 0.5,
    "averaging": 0.0,
    "eta_z": 0.2,
    "eta_theta": 0.3,
    "theta_clip": 5.0,
    "psi": 0.0,
}
NO_PLANES = {"refresh_every": 0}
AVERAGED = {**NO_PLANES, "eta_theta": 0.0, "psi": 0.0, "averaging": 1.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "full": FULL,
    "levels decoupled (pairs = 0)": {**FULL, "pairs": 0.0},
    "no planes": {**FULL, **NO_PLANES},
    "no planes, levels decoupled": {**FULL, **NO_PLANES, "pairs": 0.0},
    "averaging for planes and multipliers": {**FULL, **AVERAGED},
    "preset default": {**PRIORS, "distinct_words": False},
}
MEASURES = ("z and q", "z", "end")


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    seed: int
    variant: str
    calls: int
    pairing: float
    noise: float


@dataclass(slots=True)
class Seen:
    """What is measured of one run: gaps in per cent, and what planes and multipliers were."""

    gaps: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    planes: list[int] = field(default_factory=list)
    multiplier: float = 0.0
    theta: float = 0.0


def work(job: Job, folder: Path) -> Seen:
    """Run a variant on the problem of a seed."""
    problem = TabularProblem(
        SHAPE,
        workers=len(STAKES),
        seed=job.seed,
        pairing=job.pairing,
        agreement=0.0,
        noise=job.noise,
        stakes=STAKES,
    )
    plan = Plan(
        sites=tuple(f"site-{number}" for number in range(1, len(STAKES) + 1)),
        positions=SHAPE.positions,
        words=SHAPE.words,
        lease=1e9,
        settings=Settings(**{**VARIANTS[job.variant], "ridge": RIDGE * job.noise**2}),
        iterations=10_000,
        quorum=len(STAKES),
        refresh="barrier",
        seed=job.seed,
    )
    sites = {
        name: Worker(name, plan, TabularObjective(problem, v, job.calls, job.seed), job.seed)
        for v, name in enumerate(plan.sites)
    }
    coordinator, seen = Coordinator(plan), Seen()

    def changed(now: float) -> None:
        server = coordinator.server
        if coordinator.phase == "tuning":
            multipliers = server.planes.multipliers
            seen.planes.append(len(server.planes))
            seen.multiplier = max(seen.multiplier, float(multipliers.max(initial=0.0)))
            seen.theta = max(seen.theta, float(np.abs(server.theta).max()))
        elif not seen.gaps:
            words, seen.steps = plan.fragment(server.z), server.iteration
            held = [read_out(site.learner.q) for site in sites.values()]
            seen.gaps["z and q"] = gap(problem, [words] * len(sites), held)
            seen.gaps["z"] = gap(problem, [words] * len(sites), best_beside(problem, words))

    asyncio.run(VirtualEngine(coordinator, sites, Delays(), seed=job.seed).run(changed))
    fragments = [site.fragment(coordinator.fragment) for site in sites.values()]
    seen.gaps["end"] = gap(problem, fragments, [site.demonstrations for site in sites.values()])
    return seen


def gap(
    problem: TabularProblem, fragments: Sequence[IntArray], demonstrations: Sequence[IntArray]
) -> float:
    """Return the distance of the sites' prompts from the optimum in per cent of the range."""
    one_hot = (np.eye(SHAPE.words), np.eye(SHAPE.candidates))
    total = sum(
        problem.expected_loss(worker, one_hot[0][words], one_hot[1][shown])
        for worker, (words, shown) in enumerate(zip(fragments, demonstrations, strict=True))
    )
    return 100 * (total - problem.optimum().loss) / problem.loss_range()


def best_beside(problem: TabularProblem, words: IntArray) -> list[IntArray]:
    """Return the demonstrations that are best at each site beside these words."""
    fragment = np.eye(SHAPE.words)[words]
    uniform = np.full((SHAPE.slots, SHAPE.candidates), 1 / SHAPE.candidates)
    # With one slot, the effect of a candidate beside fixed words is its loss.
    return [
        problem.exact_gradient(worker, fragment, uniform).q.argmin(axis=1)
        for worker in range(problem.workers)
    ]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=24, tasks=False)
    options.add_argument("--first", type=int, default=0, help="first seed")
    options.add_argument("--calls", type=int, default=500, help="per site")
    options.add_argument("--pairing", type=float, default=2.0, help="of `TabularProblem`")
    options.add_argument("--noise", type=float, default=2.0, help="of `TabularProblem`")
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options.add_argument("--label", default="", help="added to the name of the results")
    args = options.parse_args()
    if args.quick:
        args.seeds, args.calls = 2, 200
    jobs = [
        Job(seed, variant, args.calls, args.pairing, args.noise)
        for seed in range(args.first, args.first + args.seeds)
        for variant in args.variants
    ]
    found: dict[str, list[Seen]] = {variant: [] for variant in args.variants}
    for job, seen in zip(jobs, map_jobs(work, jobs, args.jobs), strict=True):
        found[job.variant].append(seen)
    compared = compare(found)
    text = "\n".join(
        [
            "# Two levels: what couples them, on problems made for it\n",
            f"{args.seeds} tabulated problems, {args.calls} calls a site, `pairing` "
            f"{args.pairing:g}, `noise` {args.noise:g}. Distance from the enumerated optimum, per "
            "cent of the range of losses; in brackets the paired difference to the full method "
            "with its 95 % interval:\n",
            table(["variant", *MEASURES], _gap_rows(found, compared)),
            "What planes and multipliers were (mean over the runs; multipliers in nats):\n",
            table(
                ["variant", "server steps", "planes at once", "largest lambda", "largest theta"],
                _state_rows(found),
            ),
        ]
    )
    runs = [{"variant": variant, "runs": seen} for variant, seen in found.items()]
    name = f"two_levels_{args.label}" if args.label else "two_levels"
    write_results(name, text, {"differences": compared, "runs": runs}, args)


def compare(found: dict[str, list[Seen]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the paired differences of every variant to the first, by variant and measure."""
    first, *others = found
    return {
        variant: {
            name: differences(
                [
                    a.gaps[name] - b.gaps[name]
                    for a, b in zip(found[variant], found[first], strict=True)
                ]
            )
            for name in MEASURES
        }
        for variant in others
    }


def _gap_rows(
    found: dict[str, list[Seen]], compared: dict[str, dict[str, dict[str, float]]]
) -> list[list[str]]:
    rows = []
    for variant, seen in found.items():
        cells = []
        for name in MEASURES:
            mean, error = estimate([run.gaps[name] for run in seen])
            cell = f"{mean:.1f} ± {error:.1f}"
            if variant in compared:
                off = compared[variant][name]
                cell += f" ({off['mean']:+.1f}, {off['low']:+.1f} to {off['high']:+.1f})"
            cells.append(cell)
        rows.append([variant, *cells])
    return rows


def _state_rows(found: dict[str, list[Seen]]) -> list[list[str]]:
    return [
        [
            variant,
            f"{np.mean([run.steps for run in seen]):.0f}",
            f"{np.mean([np.mean(run.planes) for run in seen]):.1f}",
            f"{np.mean([run.multiplier for run in seen]):.2f}",
            f"{np.mean([run.theta for run in seen]):.2f}",
        ]
        for variant, seen in found.items()
    ]


if __name__ == "__main__":
    main()
