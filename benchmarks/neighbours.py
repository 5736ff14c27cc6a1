"""Does it pay that a slot may choose the example nearest to the query? With and without, and KATE.

    python benchmarks/neighbours.py [--tasks NAME ...] [--rows 120 121] [--seeds 2] [--jobs 2]

Measured: accuracy on the test split, as ``studies/pocket.toml`` has it, of AsynDBT as it is by
default, of AsynDBT with ``method.neighbours = ["tfidf"]``, and of KATE alone; and the share of the
slots, over all sites, that show the nearest example in the end. The rows are for choices.

How to read it: a positive difference says that the rule helps. It is paired by task, rows and seed;
the interval is over these runs.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from asyndbt.baselines import run_method
from asyndbt.prompt import Nearest
from asyndbt.study import StudyFile, cells_of
from common import differences, map_jobs, parser, table, write_results

STUDY = Path(__file__).parents[1] / "studies" / "pocket.toml"
TASKS: Final = ["sentiment-consumer", "entailment", "telecom-relation"]
WAYS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "fixed": ("asyndbt", {}),
    "neighbours": ("asyndbt", {"neighbours": ["tfidf"]}),
    "kate": ("kate", {}),
}
"""Method and keys of the table [method] by name."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    way: str
    task: str
    rows: int
    seed: int
    calls: int


@dataclass(frozen=True, slots=True)
class Found:
    """Accuracy of the tuned prompts in per cent, and the share of slots with a rule."""

    tuned: float
    rules: float


def work(job: Job, folder: Path) -> Found:
    """Do one run as the study would."""
    method, keys = WAYS[job.way]
    tables = tomllib.loads(STUDY.read_text("utf-8"))
    task = f"pocket:{job.task}"
    study = {
        "methods": [method],
        "tasks": [task],
        "seeds": [job.seed],
        "calls": job.calls,
        "pocket_rows": job.rows,
        "dir": str(folder),
    }
    base = {**tables["base"], "method": {**tables["base"]["method"], **keys}}
    own = {name: part for name, part in tables["tasks"].items() if name == task}
    (cell,) = cells_of(StudyFile.from_dict({"study": study, "base": base, "tasks": own}))
    result = run_method(cell.method, cell.config, options=cell.options)
    shown = [each for site in result.sites for each in result.prompt(site).demonstrations]
    rules = sum(isinstance(each, Nearest) for each in shown)
    tuned = 100 * result.data["metrics"]["test"]["tuned"]["accuracy"]
    return Found(tuned, rules / max(1, len(shown)))


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=2)
    options.set_defaults(tasks=TASKS)
    options.add_argument("--rows", type=int, nargs="+", default=[120, 121], help="generator seeds")
    options.add_argument("--calls", type=int, default=1_000, help="per site")
    args = options.parse_args()
    if args.quick:
        args.tasks, args.rows, args.seeds, args.calls = args.tasks[:1], args.rows[:1], 1, 200
    grid = product(args.tasks, args.rows, range(args.seeds), WAYS)
    jobs = [Job(way, task, rows, seed, args.calls) for task, rows, seed, way in grid]
    found = dict(zip(jobs, map_jobs(work, jobs, args.jobs), strict=True))
    text, summary = report(found, args.tasks)
    runs = [{"job": job, "found": each} for job, each in found.items()]
    write_results("neighbours", text, {"summary": summary, "runs": runs}, args)


def report(found: dict[Job, Found], tasks: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the table and the summary."""
    rows, summary = [], {}
    for name, some in [*((task, [task]) for task in tasks), ("**mean**", tasks)]:
        by_way = {
            way: [each for job, each in found.items() if job.way == way and job.task in some]
            for way in WAYS
        }
        means = {way: sum(e.tuned for e in all_of) / len(all_of) for way, all_of in by_way.items()}
        pairs = zip(by_way["neighbours"], by_way["fixed"], strict=True)
        gain = differences([with_rule.tuned - without.tuned for with_rule, without in pairs])
        rules = sum(each.rules for each in by_way["neighbours"]) / len(by_way["neighbours"])
        summary[name.strip("*")] = {**means, "gain": gain, "rules": rules}
        rows.append(
            [
                name,
                *(f"{means[way]:.1f}" for way in WAYS),
                f"{gain['mean']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f})",
                f"{100 * rules:.0f} %",
            ]
        )
    head = ["task", "AsynDBT", "with neighbours", "KATE", "difference (95 %)", "slots with a rule"]
    title = "# A slot may choose the example nearest to the query\n\nTest accuracy, %.\n\n"
    return title + table(head, rows), summary


if __name__ == "__main__":
    main()
