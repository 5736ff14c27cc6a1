"""What do bytes from outside bring out? Nothing but errors of this package, it is hoped.

    python benchmarks/fuzz.py [--inputs 100000] [--targets config csv ...] [--jobs 2] [--quick]

Fed are configuration files, data files (CSV, JSON lines), messages between sites, checkpoints, and
replies of an endpoint, up to the answer that is read out of them. Atheris (libFuzzer) changes whole
inputs and keeps those that reach new code of this package. It is no dependency: ``pip install
atheris``.

How to read it: a finding is an exception that is no `AsyndbtError`, counted once for the line that
raised it. Code covered is libFuzzer's count of edges, from the first inputs and at the end.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NAMES = ("config", "csv", "jsonl", "message", "checkpoint", "reply")
LONGEST = 4096
"""Bytes of an input."""


@dataclass(frozen=True, slots=True)
class Job:
    """Inputs for one target."""

    target: str
    inputs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Fed:
    """What came of it: edges of code covered, and one traceback for every line that failed."""

    target: str
    inputs: int
    seconds: float
    first: int
    covered: int
    findings: dict[str, str]


# ---------------------------------------------------------------------- in a process of its own
def feed(target: str, folder: Path, arguments: list[str]) -> None:
    """Feed a target until libFuzzer ends the process."""
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["asyndbt"]):
        from tests.fuzz.targets import Targets, seeds

    corpus, found = folder / "corpus", folder / "findings.json"
    corpus.mkdir()
    for number, data in enumerate(seeds()[target]):
        (corpus / str(number)).write_bytes(data)
    one = partial(_one, Targets(folder), target, found, {})
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
    atheris.Fuzz()


def _one(targets: Any, target: str, found: Path, findings: dict[str, str], data: bytes) -> None:
    try:
        targets.feed(target, data)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        if place not in findings:
            findings[place] = f"{traceback.format_exc()}\n{data!r}"
            found.write_text(json.dumps(findings), encoding="utf-8")


# ---------------------------------------------------------------------- report
def work(job: Job, folder: Path) -> Fed:
    """Feed one target."""
    options = [
        f"-runs={job.inputs}",
        f"-seed={1 + job.seed}",
        f"-max_len={LONGEST}",
        "-len_control=0",
    ]
    call = [sys.executable, __file__, "--feed", job.target, str(folder), *options]
    started = time.perf_counter()
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    covered = [int(edges) for edges in re.findall(r"cov: (\d+)", done.stderr)]
    if done.returncode or not covered:
        raise RuntimeError(done.stderr[-3000:])
    file = folder / "findings.json"
    findings = json.loads(file.read_text("utf-8")) if file.exists() else {}
    seconds = time.perf_counter() - started
    return Fed(job.target, job.inputs, seconds, covered[0], covered[-1], findings)


def main() -> None:
    """Run the benchmark."""
    # Imported late: what is fed is to be imported by Atheris first.
    from common import map_jobs, parser, table, write_results

    options = parser(__doc__, seeds=1, tasks=False)
    options.add_argument("--inputs", type=int, default=100_000, help="of each target")
    options.add_argument("--targets", nargs="+", choices=NAMES, default=NAMES)
    args = options.parse_args()
    if args.quick:
        args.inputs = 2_000
    jobs = [Job(name, args.inputs, seed) for name in args.targets for seed in range(args.seeds)]
    done = map_jobs(work, jobs, args.jobs)
    rows = [
        [
            fed.target,
            f"{fed.inputs:,}",
            f"{fed.first:,}",
            f"{fed.covered:,}",
            str(len(fed.findings)),
            f"{fed.seconds:,.0f}",
        ]
        for fed in done
    ]
    head = ["fed", "inputs", "edges at first", "edges at the end", "findings", "seconds"]
    lines = [f"* {fed.target}: {place}" for fed in done for place in fed.findings]
    text = "\n".join(["# Bytes from outside\n", table(head, rows), *lines])
    write_results("fuzz", text, {"targets": list(map(asdict, done))}, args)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--feed"]:
        feed(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        main()
