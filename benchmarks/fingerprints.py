"""What mean losses that leave a site tell of its rows, and what rounding does to the vote.

    python benchmarks/fingerprints.py [--tasks NAME ...] [--seeds 4] [--jobs 2]

Rows: a site has 10 of 20 validation rows of a task. Who guesses which has all 20 rows, the language
model, and the prompt (a fragment of six words, no demonstrations), and is told the site's score:
the mean loss, a cross-entropy, to so many decimals, and in the second column the number of right
answers too. For each of the 184,756 sets of ten rows he computes the score. Measured: how many of
these sets fit, and the AUC of each row's share in them, as a judgement on whether the row is the
site's; 0.5 is guessing, 1 is to know. In the last two columns he is told the scores of three and of
eight different prompts on the same rows. Pocket model; 30 sites for every task and seed.

The vote: runs with three and with ten sites, all honest, cut from a task's three, in which the
sites report mean losses with all digits. The vote on these is set against the vote on rounded ones:
in how many runs another fragment wins, and by how many nats its worst comparison is then worse.

How to read it: one right answer more or less moves a mean loss by 2.2 nats over the number of rows
plus 16. Where rounding loses a small part of that, what it changes was a matter of chance before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from asyndbt.cli import demo_values
from asyndbt.config import Config
from asyndbt.federation import Coordinator, Delays, VirtualEngine
from asyndbt.federation import _worker as worker_module
from asyndbt.federation._selection import pairwise_medians
from asyndbt.pocket import TASKS, dataset
from asyndbt.run import RunDirectory, prepare_run
from common import estimate, map_jobs, parser, table, write_results
from rows import site_tables

ROWS, OWN, SITES = 20, 10, 30
PROMPTS = 8
DECIMALS = (16, 4, 3, 2, 1, 0)
TOLD = {"one": (1, False), "one, right": (1, True), "three": (3, True), "eight": (8, True)}
"""How many scores are told, and whether the number of right answers is."""
CALLS = 600
POOL = 20
FIRST_ROWS = 101
"""Generator seed of the rows of seed 0."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one task and seed: sets that fit and AUC by what is told, and the runs' tables of losses.

    `fits` and `auc` are by decimals and key of `TOLD`, one value a site; `votes` are (sites, C).
    """

    task: str
    seed: int
    fits: dict[str, list[float]]
    auc: dict[str, list[float]]
    votes: list[list[list[float]]]


def work(job: tuple[str, int], folder: Path) -> Figures:
    """Guess the rows of some sites, and record two comparisons at the end of a run."""
    task, seed = job
    losses = row_losses(task, FIRST_ROWS + seed, folder / "rows")
    fits, auc = guesses(losses, np.random.default_rng(seed))
    votes = [final_losses(task, seed, sites, folder / f"{sites}") for sites in (3, 10)]
    return Figures(task, seed, fits, auc, votes)


# ---------------------------------------------------------------------- rows
def row_losses(task: str, seed: int, folder: Path) -> NDArray[np.float64]:
    """Return the losses (prompts, rows) of random fragments on validation rows of one flavour."""
    flavour = TASKS[task].sites[seed % len(TASKS[task].sites)]
    rows = {
        split: [row for row in dataset(task, split, seed) if row["site"] == flavour]
        for split in ("train", "validation", "test")
    }
    rows["validation"] = rows["validation"][:ROWS]
    values = {
        **demo_values(task),
        "data": {"sites": site_tables(rows, [flavour], folder)},
        "budget": {"calls": 20_000},
        "run": {"seed": seed, "dir": str(folder / "run")},
    }
    config = Config.from_dict(values).override(
        {"method.mode": "fragment", "method.loss": "cross_entropy"}
    )
    (site,) = prepare_run(config, RunDirectory(folder / "run")).sites.values()
    objective, rng = site.worker.objective, np.random.default_rng([seed, 1])
    words = [
        rng.permutation(objective.shape.words)[: objective.shape.positions] for _ in range(PROMPTS)
    ]
    nothing = np.zeros(0, np.int64)
    return asyncio.run(objective.compare([(w, nothing) for w in words], 0, ROWS))


def guesses(
    losses: NDArray[np.float64], rng: np.random.Generator
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return how many sets of rows fit, and the AUC, by decimals and what is told, site by site."""
    sets = np.array(list(combinations(range(ROWS), OWN)))
    members = np.zeros((len(sets), ROWS))
    np.put_along_axis(members, sets, 1.0, axis=1)
    means = members @ losses.T / OWN
    right = members @ (losses < np.log(2)).T
    fits: dict[str, list[float]] = {}
    auc: dict[str, list[float]] = {}
    for own in rng.permutation(len(sets))[:SITES]:
        for decimals in DECIMALS:
            near = 1e-12 if decimals == 16 else 0.5 * 10.0**-decimals + 1e-12
            same = np.abs(means - np.round(means[own], decimals)) <= near
            for told, (count, counted) in TOLD.items():
                fit = same[:, :count].all(axis=1)
                if counted:
                    fit &= (right[:, :count] == right[own, :count]).all(axis=1)
                share = members[fit].mean(axis=0)
                key = f"{decimals} {told}"
                fits.setdefault(key, []).append(float(fit.sum()))
                auc.setdefault(key, []).append(area(share, members[own] > 0))
    return fits, auc


def area(share: NDArray[np.float64], own: NDArray[np.bool_]) -> float:
    """Return how often a row of the site has the larger share than another one."""
    difference = share[own][:, None] - share[~own]
    return float((difference > 1e-12).mean() + 0.5 * (np.abs(difference) <= 1e-12).mean())


# ---------------------------------------------------------------------- the vote
def final_losses(task: str, seed: int, sites: int, folder: Path) -> list[list[float]]:
    """Return the losses (sites, C), with all digits, by which a run's fragment is chosen."""
    known = TASKS[task]
    values = {
        **demo_values(task),
        "data": {
            **known.config_tables(FIRST_ROWS + seed)["data"],
            "partition": {"sites": sites},
            "pool_per_class": POOL // len(known.labels),
        },
        # The test rows come after all that is measured.
        "budget": {"test_share": 0.01, "per_site": {"calls": CALLS}},
        "run": {"seed": seed, "dir": str(folder / "run")},
    }
    setup = prepare_run(Config.from_dict(values), RunDirectory(folder / "run"))
    coordinator = Coordinator(setup.plan)
    workers = {name: site.worker for name, site in setup.sites.items()}
    engine = VirtualEngine(coordinator, workers, Delays(), seed=seed)
    with patch.object(worker_module, "rounded", lambda report: report):
        asyncio.run(engine.run(lambda now: None))
    return [losses for losses, _ in coordinator.selection.losses.values()]


def regrets(tables: Sequence[NDArray[np.float64]], decimals: int) -> list[float]:
    """Return by how many nats the vote on rounded losses chooses worse, table by table."""
    lost = []
    for losses in tables:
        worst = pairwise_medians(losses).max(axis=1)
        chosen = pairwise_medians(np.round(losses, decimals)).max(axis=1).argmin()
        lost.append(float(worst[chosen] - worst.min()))
    return lost


# ---------------------------------------------------------------------- report
def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds = args.tasks[:1], 1
    found = map_jobs(
        work, [(task, seed) for task in args.tasks for seed in range(args.seeds)], args.jobs
    )
    tables = [np.array(losses) for figures in found for losses in figures.votes]
    text = "\n".join(
        [
            "# What mean losses tell of a site's rows, and what rounding does to the vote\n",
            f"{len(found) * SITES} sites with {OWN} of {ROWS} known rows. Sets of {OWN} rows, of "
            "184,756, that fit the scores told (median), and AUC of whether a row is the site's "
            "(mean):\n",
            table(["decimals", *_heads()], [guess_row(found, decimals) for decimals in DECIMALS]),
            f"\nVotes of {len(tables)} runs, {CALLS} calls a site:\n",
            table(
                ["decimals", "another fragment wins", "nats lost, mean", "nats lost, at most"],
                [vote_row(tables, decimals) for decimals in DECIMALS[1:]],
            ),
        ]
    )
    write_results("fingerprints", text, {"figures": found}, args)


def _heads() -> list[str]:
    said = {
        "one": "one loss",
        "one, right": "one loss, right answers",
        "three": "three of both",
        "eight": "eight of both",
    }
    return [said[told] for told in TOLD]


def guess_row(found: Sequence[Figures], decimals: int) -> list[str]:
    """Return a row of the table of guesses."""
    cells = []
    for told in TOLD:
        key = f"{decimals} {told}"
        fits = np.median([value for figures in found for value in figures.fits[key]])
        mean, _ = estimate([value for figures in found for value in figures.auc[key]])
        cells.append(f"{fits:,.0f} sets, {mean:.2f}")
    return ["all" if decimals == 16 else str(decimals), *cells]


def vote_row(tables: Sequence[NDArray[np.float64]], decimals: int) -> list[str]:
    """Return a row of the table of votes."""
    lost = regrets(tables, decimals)
    changed = sum(value > 0 for value in lost)
    return [
        str(decimals),
        f"{changed} of {len(lost)}",
        f"{np.mean(lost):.4f}",
        f"{max(lost):.4f}",
    ]


if __name__ == "__main__":
    main()
