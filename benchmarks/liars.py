"""What do lying sites cost the honest ones? Points of accuracy, by attack and share of liars.

    python benchmarks/liars.py [--tasks NAME ...] [--seeds 5] [--attacks NAME ...]
                               [--shares 10 30 40 third] [--calls 600] [--rows 0] [--jobs 2]

Measured: accuracy of the honest sites on their test rows, in per cent, each with the prompt that it
keeps at the end; pocket model, preset "default", virtual clock with lognormal delays. The rows of a
task are dealt to ten sites, each of its three flavours to four, three and three, and 10, 30 or
40 % of the sites lie; ``third`` is one of the task's own three. A site has a pool of 20 rows for
demonstrations, 12 validation rows, and as test rows its share of what is left of the two held-out
splits; of ten sites each has 20 training rows, of three all others of its flavour. ``--calls`` are
a site's for tuning and choosing.

The attacks are those of `asyndbt.robustness`, ``label-flip`` among them: honest work on training
and validation rows with the next label in place of the right one; and ``sybil``: collusion in a run
that is open to anybody, where each liar has three names. Colluding liars want words that tell
the model nothing true: the first six words of the vocabulary that are clues to the opposite of what
holds in the task, and where there are fewer, the first instruction words, which are clues to
nothing (`false_clues` and `INSTRUCTION_WORDS` of `asyndbt.pocket`).

How to read it: points lost are the accuracy of the same honest sites in the run without attack, in
which all sites are honest, minus that under attack, paired by task and seed; mean and standard
error over runs. *Chosen* is the share of runs in which the fragment chosen for all has three or
more of the words that colluding liars want, *kept own* that of honest sites which keep their own.
Figures of less than two standard errors mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.cli import demo_values
from asyndbt.config import Config
from asyndbt.federation import Coordinator, Delays, Site, VirtualEngine
from asyndbt.pocket import INSTRUCTION_WORDS, TASKS, dataset, false_clues, signed
from asyndbt.robustness import ATTACKS, Ring, flip_labels, with_liars, with_sybils
from asyndbt.run import RunDirectory, RunSetup, prepare_run
from common import estimate, map_jobs, parse_changes, parser, table, write_results
from rows import site_tables

Rows = list[dict[str, str]]

CUTS = {10: (4, 3, 3), 3: (1, 1, 1)}
"""Sites that each of a task's flavours is dealt to, by the number of sites."""
SHARES = {"10": (10, 1), "30": (10, 3), "40": (10, 4), "third": (3, 1)}
"""Sites and liars, by the name of the share."""
POOL, VALIDATION = 20, 12
FLIP, SYBIL = "label-flip", "sybil"
_HALF = 3
"""Half of the words of a fragment."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run; without an attack no site lies."""

    task: str
    seed: int
    sites: int
    liars: int
    attack: str | None
    calls: int
    rows: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Right answers on every site's test rows and their number, and how it came about.

    `wanted` are the words of colluding liars that the fragment chosen for all has.
    """

    right: dict[str, float]
    tested: dict[str, int]
    liars: list[str]
    kept_own: list[str]
    wanted: int
    iterations: int

    def accuracy(self, liars: Sequence[str]) -> float:
        """Accuracy of all sites but these, in per cent."""
        honest = [name for name in self.tested if name not in liars]
        right, tested = (sum(of[name] for name in honest) for of in (self.right, self.tested))
        return 100 * right / tested


# ---------------------------------------------------------------------- rows
def deal(task: str, sites: int, seed: int) -> dict[str, Rows]:
    """Deal a task's rows to sites; by split, with the site's name in column ``site``."""
    flavours = dict(zip(TASKS[task].sites, CUTS[sites], strict=True))
    hands = max(CUTS[sites])
    held_out = [*dataset(task, "validation", seed), *dataset(task, "test", seed)]
    dealt: dict[str, Rows] = {"train": [], "validation": [], "test": []}
    for flavour, count in flavours.items():
        train = _hands(_of(dataset(task, "train", seed), flavour), hands)
        for number, (own, rest) in enumerate(
            zip(train, _hands(_of(held_out, flavour), count), strict=False), start=1
        ):
            name = f"{flavour}-{number}"
            for split, rows in (
                ("train", own),
                ("validation", rest[:VALIDATION]),
                ("test", rest[VALIDATION:]),
            ):
                dealt[split] += [{**row, "site": name} for row in rows]
    return dealt


def _of(rows: Sequence[dict[str, str]], flavour: str) -> Rows:
    return [row for row in rows if row["site"] == flavour]


def _hands(rows: Rows, count: int) -> list[Rows]:
    """Deal rows class by class, and put those of a hand in an order in which classes take turns."""
    ordered = sorted(rows, key=lambda row: row["label"])
    return [_in_turn(ordered[hand::count]) for hand in range(count)]


def _in_turn(rows: Rows) -> Rows:
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    turns = zip_longest(*by_label.values())
    return [row for row in chain.from_iterable(turns) if row is not None]


# ---------------------------------------------------------------------- one run
def work(job: Job, folder: Path) -> Outcome:
    """Do one run, and read off what every site's prompt scores on its test rows."""
    dealt = deal(job.task, job.sites, job.rows)
    names = sorted({row["site"] for row in dealt["train"]})
    # The first of an order that hangs on the seed alone, so that more liars are these and others.
    order = np.random.default_rng([job.seed, job.sites]).permutation(names).tolist()
    liars = order[: job.liars] if job.attack else []
    if job.attack == FLIP:
        for split in ("train", "validation"):
            dealt[split] = flip_labels(dealt[split], liars, list(TASKS[job.task].labels))
    setup = prepare(job, dealt, names, folder)
    wanted = wanted_words(job.task, setup)
    coordinator = Coordinator(replace(setup.plan, open=job.attack == SYBIL))
    sites = lying(job, setup, liars, wanted)
    engine = VirtualEngine(coordinator, sites, Delays(), seed=job.seed)
    asyncio.run(engine.run(lambda now: None))
    reports = {name: r for name, r in coordinator.evaluations.items() if name in names}
    return Outcome(
        right={name: r.tuned.correct for name, r in reports.items()},
        tested={name: r.tuned.n for name, r in reports.items()},
        liars=liars,
        kept_own=[name for name, r in reports.items() if r.kept_own],
        wanted=len({*wanted} & {*coordinator.fragment.tolist()}),
        iterations=coordinator.server.iteration,
    )


def prepare(job: Job, dealt: Mapping[str, Rows], names: list[str], folder: Path) -> RunSetup:
    """Put the rows into files, and set up the run."""
    tested = max(Counter(row["site"] for row in dealt["test"]).values())
    references = 1
    values = {
        **demo_values(job.task),
        "data": {
            "sites": site_tables(dealt, names, folder),
            "pool_per_class": POOL // len(TASKS[job.task].labels),
        },
        "budget": {"test_share": 1.0, "per_site": {"calls": job.calls + (2 + references) * tested}},
        "run": {"seed": job.seed, "dir": str(folder / "run")},
    }
    config = Config.from_dict(values).override(
        {"method.random_icl_draws": references, **job.changes}
    )
    return prepare_run(config, RunDirectory(folder / "run"))


def wanted_words(task: str, setup: RunSetup) -> list[int]:
    """Return the words that colluding liars want, as indices into the vocabulary."""
    known = dict.fromkeys([*false_clues(signed(task)), *INSTRUCTION_WORDS])
    words = [word for word in known if word in setup.vocabulary]
    return [setup.vocabulary.index(word) for word in words[: setup.plan.positions]]


def lying(
    job: Job, setup: RunSetup, liars: Sequence[str], wanted: Sequence[int]
) -> Mapping[str, Site]:
    """Return the sites of a run, the liars among them wrapped in the attack."""
    workers = {name: site.worker for name, site in setup.sites.items()}
    if job.attack is None or job.attack == FLIP:
        return workers
    plan = setup.plan
    left = job.calls - max(worker.objective.looks_left for worker in workers.values())
    steps = left // (plan.settings.draws * plan.settings.batch_size * plan.local_steps)
    kind = "collude" if job.attack == SYBIL else job.attack
    sites = with_liars(workers, liars, kind, Ring(wanted, steps, job.seed))
    return with_sybils(sites, liars) if job.attack == SYBIL else sites


# ---------------------------------------------------------------------- report
Found = Mapping[tuple[str, int, int, int, str | None], Outcome]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    known = [*ATTACKS, FLIP, SYBIL]
    options.add_argument("--attacks", nargs="+", choices=known, default=known)
    options.add_argument("--shares", nargs="+", choices=list(SHARES), default=list(SHARES))
    options.add_argument("--calls", type=int, default=600, help="per site")
    options.add_argument("--rows", type=int, default=0, help="generator seed of the tasks' rows")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config changes")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.calls = args.tasks[:1], 1, 300
        args.attacks, args.shares = ["collude", FLIP], ["30", "third"]
    jobs = jobs_of(args)
    outcomes = map_jobs(work, jobs, args.jobs)
    found = {
        (job.task, job.seed, job.sites, job.liars, job.attack): outcome
        for job, outcome in zip(jobs, outcomes, strict=True)
    }
    rows, lost = rows_of(found, args)
    head = ["attack", "liars", "points lost", "worst run", *args.tasks, "chosen", "kept own"]
    text = "\n".join(
        [
            "# What lying sites cost the honest ones\n",
            f"{args.seeds} seeds, {args.calls} calls a site, rows of generator seed {args.rows}. "
            "Points of accuracy lost by the honest sites against the same sites' accuracy without "
            "attack, mean ± standard error over tasks and seeds, and mean by task; without attack "
            "the accuracy of all sites:\n",
            table(head, rows),
        ]
    )
    runs = [{"job": job, "outcome": outcome} for job, outcome in zip(jobs, outcomes, strict=True)]
    write_results("liars", text, {"points_lost": lost, "runs": runs}, args)


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """Return the runs without attack, one for every number of sites, and those with each."""
    changes = parse_changes(args.set)
    numbers = [SHARES[share] for share in args.shares]
    kinds: list[tuple[int, int, str | None]] = [
        (sites, 0, None) for sites in dict.fromkeys(sites for sites, _ in numbers)
    ]
    kinds += [(*number, attack) for number in numbers for attack in args.attacks]
    return [
        Job(task, seed, sites, liars, attack, args.calls, args.rows, changes)
        for task in args.tasks
        for seed in range(args.seeds)
        for sites, liars, attack in kinds
    ]


def rows_of(
    found: Found, args: argparse.Namespace
) -> tuple[list[list[str]], dict[str, dict[str, dict[str, list[float]]]]]:
    """Return the rows of the table, and the points lost by attack, share, task and seed."""
    rows = [
        none_row(found, sites, args)
        for sites in dict.fromkeys(SHARES[share][0] for share in args.shares)
    ]
    points: dict[str, dict[str, dict[str, list[float]]]] = {attack: {} for attack in args.attacks}
    for attack in args.attacks:
        for share in args.shares:
            keys = {
                task: [(task, seed, *SHARES[share], attack) for seed in range(args.seeds)]
                for task in args.tasks
            }
            lost = {task: [points_lost(found, key) for key in keys[task]] for task in keys}
            under = [found[key] for some in keys.values() for key in some]
            points[attack][share] = lost
            rows.append([attack, "{1} of {0}".format(*SHARES[share]), *lost_cells(lost, under)])
    return rows, points


def lost_cells(lost: Mapping[str, Sequence[float]], under: Sequence[Outcome]) -> list[str]:
    """Return the cells of an attack, given the points lost by task and the runs."""
    every = [value for values in lost.values() for value in values]
    mean, error = estimate(every)
    means = [f"{estimate(values)[0]:+.1f}" for values in lost.values()]
    total = f"{mean:+.1f} ± {error:.1f} ({len(every)})"
    return [total, f"{max(every):+.1f}", *means, *shares_of(under)]


def none_row(found: Found, sites: int, args: argparse.Namespace) -> list[str]:
    """Return the row of the runs without attack: accuracies in place of points."""
    by_task = {
        task: [found[task, seed, sites, 0, None] for seed in range(args.seeds)]
        for task in args.tasks
    }
    accuracies = {task: [run.accuracy([]) for run in runs] for task, runs in by_task.items()}
    every = [run for runs in by_task.values() for run in runs]
    means = [f"{estimate(values)[0]:.1f} %" for values in accuracies.values()]
    worst = min(value for values in accuracies.values() for value in values)
    return ["none", f"0 of {sites}", "", f"{worst:.1f} %", *means, *shares_of(every)]


def points_lost(found: Found, key: tuple[str, int, int, int, str | None]) -> float:
    """Return what the honest sites of a run lose against the run without attack."""
    task, seed, sites, _, _ = key
    under = found[key]
    return found[task, seed, sites, 0, None].accuracy(under.liars) - under.accuracy(under.liars)


def shares_of(runs: Sequence[Outcome]) -> list[str]:
    """Return in how many runs colluders' words are chosen, and how many honest sites keep own."""
    honest = [name not in run.liars for run in runs for name in run.tested]
    kept = sum(name not in run.liars for run in runs for name in run.kept_own)
    chosen = np.mean([run.wanted >= _HALF for run in runs])
    return [f"{chosen:.0%}", f"{kept / sum(honest):.0%}"]


if __name__ == "__main__":
    main()
