"""What is lost without log-probabilities? Feedback "text" (0/1) against "logprobs".

    python benchmarks/feedback.py [--tasks NAME ...] [--seeds 5] [--jobs 2]

Measured: the runs of `asyndbt demo` (pocket model, three sites, preset "default") with either kind
of feedback, the same seeds, rows and number of model calls (2,000 per site for tuning and
confirming). The gain is the accuracy of the tuned prompt on the untouched test split, read in the
run's own mode, minus that of the plain prompt read with log-probabilities, for both: read as text
the plain prompt is far worse here, because the model's next word is often none of the labels, and
measured from there text would look better than it is. `kept` is the gain with text alone as a share
of the gain with log-probabilities, of the means over seeds.

How to read it: with text an answer says right or wrong and no more, so an estimate of the same
quality takes more answers; the target is that at least 70 % of the gain is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common import (
    Outcome,
    differences,
    estimate,
    map_jobs,
    parser,
    run_pocket,
    table,
    write_results,
)

CALLS = 2_000
TESTED = 360
RANDOM_DRAWS = 5
TARGET = 0.7


@dataclass(frozen=True, slots=True)
class Job:
    """One run; `calls` per site for tuning and confirming."""

    task: str
    seed: int
    feedback: str
    calls: int


def work(job: Job, folder: Path) -> Outcome:
    """Do one run."""
    per_site = job.calls + (2 + RANDOM_DRAWS) * TESTED // 3
    changes = {"lm.feedback": job.feedback, "budget.per_site": {"calls": per_site}}
    return run_pocket(job.task, job.seed, changes, folder)


def main() -> None:
    """Run the benchmark."""
    args = parser(__doc__).parse_args()
    if args.quick:
        args.tasks, args.seeds = args.tasks[:1], 2
    jobs = [
        Job(task, seed, feedback, CALLS)
        for task in args.tasks
        for seed in range(args.seeds)
        for feedback in ("logprobs", "text")
    ]
    outcomes = map_jobs(work, jobs, args.jobs)
    found = {
        (job.task, job.seed, job.feedback): outcome
        for job, outcome in zip(jobs, outcomes, strict=True)
    }

    def gains(tasks: list[str], feedback: str) -> list[float]:
        """Mean gain over tasks, by seed."""
        return [
            sum(
                found[task, seed, feedback].tuned - found[task, seed, "logprobs"].plain
                for task in tasks
            )
            / len(tasks)
            for seed in range(args.seeds)
        ]

    def accuracy(tasks: list[str], feedback: str) -> str:
        values = [found[task, seed, feedback].tuned for task in tasks for seed in range(args.seeds)]
        return f"{estimate(values)[0]:.1f}"

    def kept(tasks: list[str]) -> float:
        return sum(gains(tasks, "text")) / sum(gains(tasks, "logprobs"))

    rows = []
    for name, tasks in [*((task, [task]) for task in args.tasks), ("**mean**", args.tasks)]:
        cells = [
            cell
            for feedback in ("logprobs", "text")
            for cell in (
                accuracy(tasks, feedback),
                "{:+.1f} ± {:.1f}".format(*estimate(gains(tasks, feedback))),
            )
        ]
        rows.append([name, *cells, f"{100 * kept(tasks):.0f} %"])
    loss = differences(
        [
            text - scored
            for text, scored in zip(
                gains(args.tasks, "text"), gains(args.tasks, "logprobs"), strict=True
            )
        ]
    )
    share = kept(args.tasks)
    text = "\n".join(
        [
            "# Feedback: text alone against log-probabilities\n",
            f"Accuracy and gain over the plain prompt in per cent, {args.seeds} seeds, {CALLS:,} "
            "calls per site.\n",
            table(["task", "logprobs", "gain", "text", "gain", "kept"], rows),
            f"Text minus log-probabilities: {loss['mean']:+.1f} (95 % interval {loss['low']:+.1f} "
            f"to {loss['high']:+.1f}). Kept: {100 * share:.0f} %, target >= {100 * TARGET:.0f} %: "
            + ("met." if share >= TARGET else "**not met**."),
        ]
    )
    runs = [
        {"feedback": job.feedback, "outcome": outcome}
        for job, outcome in zip(jobs, outcomes, strict=True)
    ]
    write_results("feedback", text, {"kept": share, "difference": loss, "runs": runs}, args)


if __name__ == "__main__":
    main()
