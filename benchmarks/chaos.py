"""What does a run lose when it is killed, and when disk, clock or endpoint fail?.

    python benchmarks/chaos.py [--points 40] [--jobs 2] [--quick]

Small whole runs, three sites each, in processes that are killed by SIGKILL and resumed, up to twice
each, then compared with the run that nothing disturbed:

* calls: killed before or after one of the calls that write, replace, cut or query a file, half of
  the points spread evenly over the run, half over the kinds of such calls, so that checkpoints,
  states, paid answers, events, the final evaluation and the result are all met.
* moments: killed after some milliseconds, wherever it is.
* torn: killed by the system in the middle of a write, by a limit on the size of files.
* requests: over HTTP, killed by the endpoint when a request has come, when its answer is half
  sent, or sent.
* budget: killed while a finished run is continued with a larger budget.

Then other faults, each followed by a resume without it:

* full: the system refuses to let files grow, as on a full disk.
* read-only: a run that was killed, in a directory without the right to write.
* clock: the wall clock jumps by days, and the process is stopped for moments.
* damage: one file of a run that was killed is cut short, overwritten in places, or emptied.
* twice: two processes at once, at the beginning or on a run that was killed.
* away: the endpoint goes away, for a moment or until the run has stopped, and comes back.

How to read it: "same" are the runs whose prompts, results, events and counts are those of the
undisturbed run, byte for byte; over HTTP prompts and results. With engine "local" over HTTP the
order of answers is not repeatable, so there only payments are compared. "paid again" counts
requests that the endpoint answered although it had answered the same before; only those under way
at a kill may be, 8 at most for each. "refused" are runs that ended with an error of this package
that names the file, that the directory is in use, or that the endpoint is away. Where a damaged
file of paid answers has lost some of them, they are paid again and no longer count, so that the run
goes on longer: it need not be the same. All other ends are faults.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from common import map_jobs, parser, table, write_results
from laboratory import (
    DONE,
    ENGINES,
    NOBODY,
    REFUSED,
    End,
    Job,
    Laboratory,
    Process,
    Seen,
    answers_kept,
    at_call,
    with_small_files,
)


def killed_at_calls(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Kill at calls that touch files."""
    kinds, calls = sorted(set(lab.kinds)), range(1, len(lab.kinds) + 1)
    first = rng.choice(calls)
    if number % 2:
        kind = kinds[number // 2 % len(kinds)]
        first = rng.choice([at for at in calls if lab.kinds[at - 1] == kind])
    seen = Seen()
    lab.kill(seen, partial(at_call, first), partial(at_call, rng.choice(calls)))
    return lab.finish(seen)


def killed_at_moments(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Kill wherever the run is."""
    seen = Seen()
    for _ in range(2):
        process = Process(lab.go, lab.folder / "said")
        time.sleep(rng.random() * lab.seconds)
        os.kill(process.pid, signal.SIGKILL)
        seen.kills += process.end().killed
    return lab.finish(seen)


def size_below(lab: Laboratory, rng: random.Random) -> int:
    """Return a size that some file reaches, small ones more often."""
    return round(math.exp(rng.uniform(math.log(200), math.log(max(lab.sizes)))))


def torn(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Have the system kill in the middle of a write."""
    seen = Seen()
    sizes = [size_below(lab, rng) for _ in range(2)]
    lab.kill(seen, *(partial(with_small_files, size, signal.SIG_DFL) for size in sizes))
    return lab.finish(seen)


def killed_at_requests(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Have the endpoint kill."""
    seen, endpoint = Seen(), lab.endpoint
    assert endpoint

    def announced(body: Callable[[], None]) -> None:
        endpoint.announce()
        body()

    for at in sorted(rng.sample(range(1, lab.requests + 1), 2)):
        endpoint.aim(at, rng.randrange(3))
        lab.kill(seen, announced)
    endpoint.aim()
    return lab.finish(seen)


def expect(seen: Seen, end: End, words: str) -> None:
    """Note how a process with a fault ended: done in spite of it, or with an error that says it."""
    seen.refused += end.status == REFUSED
    if end.status != DONE and (end.status != REFUSED or words not in end.said):
        seen.faults.append(f"with the fault: {end.said}")


def full(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Let the disk be full at some size of a file."""
    seen = Seen()
    end = lab.process(partial(with_small_files, size_below(lab, rng), signal.SIG_IGN, lab.go))
    expect(seen, end, "cannot be ")
    return lab.finish(seen)


def read_only(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Take the right to write away."""
    seen = Seen()
    lab.kill(seen, partial(at_call, rng.randint(1, len(lab.kinds))))
    lab.directory.mkdir(exist_ok=True)
    places = [lab.directory, *lab.directory.rglob("*")]

    def as_somebody_else() -> None:
        if not os.getuid():
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        lab.go()

    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    expect(seen, lab.process(as_somebody_else), "cannot be ")
    for place in places:
        place.chmod(0o755 if place.is_dir() else 0o644)
    return lab.finish(seen)


def clock(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Move the wall clock, and stop the process for moments."""
    seen = Seen()

    def jumping() -> None:
        time.time = lambda: rng.uniform(0, 4e9)
        lab.go()

    process = Process(jumping, lab.folder / "said")
    for _ in range(3):
        time.sleep(rng.random() * lab.seconds / 4)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGCONT)
    expect(seen, process.end(), "nothing")
    return lab.finish(seen)


def damage(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Damage one file."""
    seen = Seen()
    lab.kill(seen, partial(at_call, rng.randint(len(lab.kinds) // 4, len(lab.kinds))))
    files = sorted(file for file in lab.directory.rglob("*") if file.is_file())
    # The checkpoint and the states in half of the cases.
    states = [file for file in files if file.name in ("checkpoint", "state")]
    file = rng.choice(states if number % 2 and states else files)
    kept = answers_kept(lab.directory, lab.folder / "copy")
    file.write_bytes(damaged(file.read_bytes(), rng))
    lost = kept - answers_kept(lab.directory, lab.folder / "copy")
    end = lab.process(lab.go)
    if end.status == REFUSED and file.name.removesuffix("-wal") in end.said:
        seen.refused += 1
        return seen
    lab.finish(seen)
    if lost:
        seen.faults = [fault for fault in seen.faults if not fault.startswith("not the same")]
    if file.name == "events.jsonl":  # what is lost of the log is in nothing else
        seen.faults = [fault for fault in seen.faults if fault != "not the same: events"]
    seen.faults = [f"{file.name}: {fault}" for fault in seen.faults]
    return seen


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes cut short, with bits turned, with a page of zeros, or none of them."""
    changed = bytearray(data)
    start = rng.randint(0, len(data))
    match rng.randrange(4):
        case 0:
            del changed[start:]
        case 1 if data:
            for _ in range(rng.randint(1, 20)):
                changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            changed[start : start + 4096] = bytes(len(changed[start : start + 4096]))
        case _:
            changed.clear()
    return bytes(changed)


def twice(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Start two processes at once."""
    seen = Seen()
    if number % 2 and not lab.endpoint:
        lab.kill(seen, partial(at_call, rng.randint(1, len(lab.kinds))))
    logs = [lab.folder / "said", lab.folder / "said too"]
    processes = [Process(lab.go, log) for log in logs]
    ends = [process.end() for process in processes]
    for end in ends:
        expect(seen, end, "is in use")
    if not any(end.status == DONE for end in ends):
        seen.faults.append("neither of two was done")
    return lab.finish(seen)


def away(lab: Laboratory, rng: random.Random, number: int) -> Seen:
    """Let the endpoint go away and come back."""
    seen, endpoint, at = Seen(), lab.endpoint, rng.randint(1, lab.requests)
    assert endpoint
    process = Process(lab.go, lab.folder / "said")
    while endpoint.count < at:
        time.sleep(0.001)
    endpoint.close()
    seen.kills += 1  # of the endpoint: answers that it was about to send are lost
    if number % 2:
        time.sleep(0.05)
        endpoint.reopen()
        expect(seen, process.end(), "")
    else:
        expect(seen, process.end(), "")
        endpoint.reopen()
    return lab.finish(seen)


Experiment = Callable[[Laboratory, random.Random, int], Seen]
KILLS: dict[str, Experiment] = {
    "calls": killed_at_calls,
    "moments": killed_at_moments,
    "torn": torn,
    "budget": killed_at_calls,
    "requests": killed_at_requests,
}
FAULTS: dict[str, Experiment] = {
    "full": full,
    "read-only": read_only,
    "clock": clock,
    "damage": damage,
    "twice": twice,
    "away": away,
}
REMOTE = {"requests": (True,), "away": (True,), "twice": (False, True)}


# ---------------------------------------------------------------------- report
def work(job: Job, folder: Path) -> list[Seen]:
    """Do the experiments of a job."""
    experiment, found = (KILLS | FAULTS)[job.kind], []
    with Laboratory(folder, job) as lab:
        for number in range(job.count):
            lab.clear()
            rng = random.Random(f"{job.kind} {job.engine} {number}")
            found.append(experiment(lab, rng, number))
    return found


def row(job: Job, found: Sequence[Seen]) -> list[str]:
    """Return the line of a job in the table."""
    faults = sum(bool(seen.faults) for seen in found)
    return [
        job.kind,
        job.engine,
        "HTTP" if job.remote else "pocket",
        str(len(found)),
        str(sum(seen.kills for seen in found)),
        str(sum(seen.refused for seen in found)),
        str(sum(seen.same for seen in found)),
        str(sum(seen.told for seen in found)),
        str(sum(seen.paid_again for seen in found)) if job.remote else "",
        f"**{faults}**" if faults else "0",
    ]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=1, tasks=False)
    options.add_argument("--points", type=int, default=30, help="runs of each kind that are killed")
    options.add_argument("--others", type=int, default=20, help="runs with each other fault")
    options.add_argument("--kinds", nargs="+", default=[*KILLS, *FAULTS], choices=KILLS | FAULTS)
    args = options.parse_args()
    if args.quick:
        args.points = args.others = 4
    for name, kinds, count in (
        ("chaos", KILLS, args.points),
        ("chaos_faults", FAULTS, args.others),
    ):
        jobs = [
            Job(kind, engine, remote, count)
            for kind in kinds
            if kind in args.kinds
            for engine in ENGINES
            for remote in REMOTE.get(kind, (False,))
        ]
        if jobs:
            report(name, jobs, args)


def report(name: str, jobs: Sequence[Job], args: argparse.Namespace) -> None:
    """Do the jobs, and write the figures."""
    done = map_jobs(work, jobs, args.jobs)
    head = ["kind", "engine", "model", "runs", "kills", "refused", "same", "told", "paid again"]
    rows = [row(job, found) for job, found in zip(jobs, done, strict=True)]
    kills = sum(seen.kills for found in done for seen in found)
    title = "Runs that are killed" if name == "chaos" else "Other faults"
    lines = [f"# {title}\n", f"{kills} kills in {sum(map(len, done))} runs.\n"]
    text = "\n".join([*lines, table([*head, "faults"], rows)])
    figures = {
        "jobs": [{"job": asdict(job), "seen": found} for job, found in zip(jobs, done, strict=True)]
    }
    write_results(name, text, figures, args)


if __name__ == "__main__":
    main()
