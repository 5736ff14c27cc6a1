"""What the benchmarks share: pocket runs, processes, statistics, and how results are written.

Not a benchmark itself. Every benchmark runs independent jobs in processes with one BLAS thread
each, so a result does not depend on ``--jobs``, and writes ``results/NAME.json`` (all figures, with
date, versions, seeds and options) and ``results/NAME.md`` (the table). With ``--quick`` it does a
small part of the work and writes ``results/NAME-quick.*``, which are not kept in the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from asyndbt._api import tune
from asyndbt.cli import demo_config
from asyndbt.config import Config
from asyndbt.pocket import TASKS

__all__ = [
    "Outcome",
    "Row",
    "differences",
    "estimate",
    "map_jobs",
    "parse_changes",
    "parser",
    "run_once",
    "run_pocket",
    "table",
    "write_results",
]

RESULTS = Path(__file__).parent / "results"
Row = Sequence[str]
_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


# ---------------------------------------------------------------------- pocket runs
@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: accuracies on the test split in per cent, and what tuning cost.

    `calls` are those for tuning and confirming: the ledger without the final evaluation, which
    asks every test query ``2 + random_icl_draws`` times.
    """

    task: str
    seed: int
    plain: float
    random_icl: float
    tuned: float
    n: int
    calls: int
    iterations: int
    stop_reason: str
    seconds: float


def run_pocket(task: str, seed: int, changes: Mapping[str, Any], folder: Path) -> Outcome:
    """Run the demo of a task with some keys of its configuration changed.

    Parameters
    ----------
    task : str
        A key of `asyndbt.pocket.TASKS`.
    seed : int
    changes : mapping
        New values by full key, such as ``{"method.centralised": True}``.
    folder : Path
        Where the run directory goes.
    """
    return run_once(task, demo_config(task, seed, folder / "run").override(changes))


def run_once(task: str, config: Config) -> Outcome:
    """Run a configuration through the public entrance and read off the figures."""
    started = time.perf_counter()
    data = tune(config).data
    test = data["metrics"]["test"]
    shown = config.method.mode != "fragment"
    kinds = 2 + (config.method.random_icl_draws if shown else 0)
    return Outcome(
        task=task,
        seed=config.run.seed,
        **{kind: 100 * test[kind]["accuracy"] for kind in ("plain", "random_icl", "tuned")},
        n=test["tuned"]["n"],
        calls=data["ledger"]["calls"] - kinds * test["tuned"]["n"],
        iterations=data["iterations"],
        stop_reason=data["stop_reason"],
        seconds=time.perf_counter() - started,
    )


# ---------------------------------------------------------------------- jobs
def parser(doc: str | None, *, seeds: int = 5, tasks: bool = True) -> argparse.ArgumentParser:
    """Return the options that the benchmarks have in common."""
    made = argparse.ArgumentParser(
        description=(doc or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if tasks:
        made.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    made.add_argument("--seeds", type=int, default=seeds, help="seeds 0, 1, ...")
    made.add_argument("--jobs", type=int, default=2, help="processes")
    made.add_argument("--quick", action="store_true", help="a small part, to see that it works")
    return made


def parse_changes(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``method.eta_p=3`` and the like into changes for `Config.override`.

    Examples
    --------
    >>> parse_changes(["method.eta_p=3.0", "federation.quorum=all"])
    {'method.eta_p': 3.0, 'federation.quorum': 'all'}
    """
    changes = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            changes[key] = json.loads(value)
        except json.JSONDecodeError:
            changes[key] = value
    return changes


def map_jobs(
    work: Callable[[_Job, Path], _Done], jobs: Sequence[_Job], processes: int
) -> list[_Done]:
    """Do every job in a process pool, each in a temporary folder; results in order of the jobs."""
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    done: dict[int, _Done] = {}
    with ProcessPoolExecutor(max(1, processes), mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(_in_folder, work, job): index for index, job in enumerate(jobs)}
        for future in as_completed(pending):
            done[pending[future]] = future.result()
            print(f"\r{len(done)} of {len(jobs)} jobs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [done[index] for index in range(len(jobs))]


def _in_folder(work: Callable[[_Job, Path], _Done], job: _Job) -> _Done:
    with TemporaryDirectory(prefix="asyndbt-benchmark-") as folder:
        return work(job, Path(folder))


# ---------------------------------------------------------------------- statistics and writing
def estimate(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error (0 for a single value)."""
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return mean, error


def differences(values: Sequence[float]) -> dict[str, float]:
    """Mean of paired differences with standard error and 95 % interval (Student's t)."""
    mean, error = estimate(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error if len(values) > 1 else 0.0
    return {"mean": mean, "error": error, "low": mean - half, "high": mean + half}


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write_results(
    name: str,
    text: str,
    figures: Mapping[str, Any],
    options: argparse.Namespace,
) -> None:
    """Write ``results/NAME.json`` and ``results/NAME.md``, and print the latter.

    Parameters
    ----------
    name : str
        Of the benchmark.
    text : str
        Title, table and remarks in Markdown.
    figures : mapping
        Everything measured; dataclasses may be among the values of lists.
    options : argparse.Namespace
        As the command was given.
    """
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("asyndbt", "numpy", "scipy", "optuna")},
        },
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "options": {key: value for key, value in vars(options).items() if value is not None},
    }
    stem = f"{name}-quick" if getattr(options, "quick", False) else name
    RESULTS.mkdir(exist_ok=True)
    content = json.dumps({**about, **figures}, indent=1, default=asdict)
    (RESULTS / f"{stem}.json").write_text(content + "\n", encoding="utf-8")
    versions = ", ".join(f"{key} {value}" for key, value in about["versions"].items())  # type: ignore[attr-defined]
    foot = f"{about['date']}; commit {about['commit']}; {versions}; {about['machine']}."
    said = f"{text.rstrip()}\n\n{foot} Options: `{json.dumps(about['options'])}`.\n"
    (RESULTS / f"{stem}.md").write_text(said, encoding="utf-8")
    print(said)


def _commit() -> str:
    def git(*arguments: str) -> str:
        place = Path(__file__).parent
        return subprocess.run(
            ["git", *arguments], cwd=place, capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", ":/src", ":/benchmarks/*.py")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
