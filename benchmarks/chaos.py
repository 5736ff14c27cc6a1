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
import json
import math
import os
import random
import resource
import shutil
import signal
import sqlite3
import ssl
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np

from asyndbt.baselines import resume_run
from asyndbt.config import Config
from asyndbt.errors import AsyndbtError
from asyndbt.federation import unpack_state
from asyndbt.lm import RetryPolicy
from asyndbt.lm.providers import _pocket
from asyndbt.pocket import TASKS, PocketModel, dataset
from asyndbt.run import RunDirectory, run_config
from common import map_jobs, parser, table, write_results
from counting_endpoint import Endpoint

TASK = TASKS["sentiment-consumer"]
ROWS = {"train": 14, "validation": 3, "test": 3}
LEAST = 35
"""Calls of a site for one step, the looks and the evaluation."""
AT_ONCE = 8
VIRTUAL = {
    "engine": "virtual",
    "quorum": 2,
    "lease": 6.0,
    "delays": {"slow": {"movies": 3.0}, "dead": {"phones": 4.5}, "rejoin": {"phones": 13.5}},
}
ENGINES: dict[str, dict[str, Any]] = {"virtual": VIRTUAL, "local": {"quorum": "majority"}}
CALLS = {"write", "flush", "fsync", "replace", "truncate", "unlink", "execute", "executemany"}
MORE = {"per_site": {"calls": LEAST + 120}}
DONE, REFUSED, CRASHED = 0, 3, 4
_NOBODY = 65534


# ---------------------------------------------------------------------- runs
class RememberingModel:
    """The pocket model, which computes no answer twice: a run is repeated a thousand times here."""

    def __init__(self) -> None:
        self._model = PocketModel.load()
        self._rows: dict[tuple[str, tuple[str, ...]], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def label_log_probabilities(self, prompts: Sequence[str], labels: Sequence[str]) -> Any:
        """Logarithms of the labels' probabilities, a row for every prompt."""
        keys = [(prompt, tuple(labels)) for prompt in prompts]
        if new := [key for key in keys if key not in self._rows]:
            rows = self._model.label_log_probabilities([prompt for prompt, _ in new], labels)
            self._rows.update(zip(new, rows, strict=True))
        elif not keys:
            return self._model.label_log_probabilities([], labels)
        return np.array([self._rows[key] for key in keys])


def configuration(folder: Path, name: str, federation: Mapping[str, Any], url: str = "") -> Config:
    """Return a run of a few steps; over HTTP it ends after a number of steps."""
    files = {part: str(folder / f"{part}.jsonl") for part in ROWS}
    for part, file in files.items():
        Path(file).write_text("".join(json.dumps(row) + "\n" for row in _rows(part)))
    method: dict[str, Any] = {
        "vocabulary": "pocket",
        "vocabulary_limit": 12,
        "fragment_length": 3,
        "draws": 3,
        "batch_size": 2,
        "random_icl_draws": 2,
        "confirm_candidates": 2,
        "refresh_every": 4,
        "plane_tolerance": 0.01,
    }
    tables: dict[str, Any] = {
        "task": {"instruction": TASK.instruction, "labels": dict(TASK.labels)},
        "data": {**files, "site_column": "site", "pool_per_class": 4},
        "method": method | ({"iterations": 6} if url else {}),
        "federation": federation,
        "budget": {"test_share": 1.0, "per_site": {"calls": LEAST + (400 if url else 60)}},
        "run": {"dir": str(folder / name), "seed": 3},
    }
    if url:
        remote = {"model": "m", "base_url": url, "system": "", "max_concurrency": AT_ONCE}
        tables["lm"] = {"provider": "openai", "timeout": 10.0, **remote}
    return Config.from_dict(tables)


def _rows(part: str) -> Iterator[Mapping[str, str]]:
    """The first rows of every class and site."""
    kept: Counter[tuple[str, str]] = Counter()
    for row in dataset(TASK.name, part):  # type: ignore[arg-type]
        kept[row["site"], row["label"]] += 1
        if kept[row["site"], row["label"]] <= ROWS[part]:
            yield row


def carry_on(config: Config, budget: Mapping[str, Any] | None = None) -> None:
    """Start the run, or go on with it."""
    if (config.run.dir / "config.toml").exists():
        resume_run(config.run.dir, budget=budget)
    else:
        run_config(config)


def outcome(directory: Path, whole: bool) -> dict[str, Any]:
    """Return what two runs of the same configuration have in common; `whole` with all counts."""
    names = ("prompt.txt", "prompt.json", "result.json")
    files = [file for name in names for file in sorted(directory.glob(f"sites/*/{name}"))]
    found: dict[str, Any] = {str(file.relative_to(directory)): file.read_bytes() for file in files}
    for state in sorted(directory.glob("sites/*/state")):
        found[f"{state.parent.name} steps"] = unpack_state(state.read_bytes())[0]["steps"]
    if whole:
        found["result"] = (directory / "result.json").read_bytes()
        lines = RunDirectory(directory).events()
        found["events"] = [
            {k: v for k, v in line.items() if k not in ("elapsed", "seconds_left")}
            for line in lines
            if line["kind"] != "warning"
        ]
        found["paid"] = query_answers(
            directory, "SELECT SUM(calls), SUM(tokens_in), SUM(tokens_out) FROM answers"
        )
    return found


def query_answers(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what every site's file of paid answers says to a query for one row."""
    found = []
    for file in sorted(directory.glob("sites/*/answers.sqlite")):
        with closing(sqlite3.connect(file)) as database:
            found.append(database.execute(query).fetchone())
    return found


def answers_kept(directory: Path, copy: Path) -> int:
    """Count the paid answers that can be read, in a copy: to read them changes the files."""
    shutil.copytree(directory, copy)
    try:
        return sum(row[0] for row in query_answers(copy, "SELECT COUNT(*) FROM answers"))
    except sqlite3.DatabaseError:
        return 0
    finally:
        shutil.rmtree(copy)


# ---------------------------------------------------------------------- processes
@dataclass(frozen=True)
class End:
    """How a process ended: killed by a signal, done, refused, or crashed, with what it said."""

    status: int
    said: str

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return self.status < 0


class Process:
    """A fork of this process that does something, and whose end is looked at."""

    def __init__(self, body: Callable[[], None], log: Path) -> None:
        self._log = log
        log.write_text("")
        log.chmod(0o666)
        self.pid = os.fork()
        if not self.pid:
            os._exit(self._live(body))

    def _live(self, body: Callable[[], None]) -> int:
        try:
            body()
        except AsyndbtError as error:
            self._log.write_text(f"{type(error).__name__}: {error}")
            return REFUSED
        except BaseException:
            self._log.write_text(traceback.format_exc())
            return CRASHED
        return DONE

    def end(self) -> End:
        """Wait for it."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return End(code, self._log.read_text())


class Watched:
    """Counts the calls that touch files, and kills the process at one of them."""

    def __init__(self, at: int = 0) -> None:
        self.kinds: list[str] = []
        self._at = at

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Note a call, as `sys.setprofile` has it."""
        if event.startswith("c_") and arg.__name__ in CALLS:
            self.kinds.append(f"{frame.f_code.co_name} {arg.__name__} {event}")
            if len(self.kinds) == self._at:
                os.kill(os.getpid(), signal.SIGKILL)


def at_call(number: int, body: Callable[[], None]) -> None:
    """Be killed at the so-manieth call that touches a file."""
    sys.setprofile(Watched(number))
    body()
    sys.setprofile(None)


def with_small_files(size: int, action: signal.Handlers, body: Callable[[], None]) -> None:
    """Let no file grow beyond a size in bytes: the system kills, or refuses to write."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, action)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    body()


# ---------------------------------------------------------------------- experiments
@dataclass
class Seen:
    """What one experiment found; faults are in words."""

    kills: int = 0
    same: bool = False
    refused: int = 0
    told: bool = False
    paid_again: int = 0
    faults: list[str] = field(default_factory=list)


class Laboratory:
    """One engine, the undisturbed run, and what is done to others."""

    def __init__(self, folder: Path, job: Job) -> None:
        folder.chmod(0o755)
        self.folder, self.budget = folder, MORE if job.kind == "budget" else None
        self.endpoint = Endpoint(folder) if job.remote else None
        url = self.endpoint.url if self.endpoint else ""
        self.config = configuration(folder, "run", ENGINES[job.engine], url)
        self.directory = self.config.run.dir
        self.kept = folder / "kept"
        # Answers over HTTP come in any order, and only the virtual clock puts them in one.
        self.repeatable = job.engine == "virtual" or not job.remote
        self.kinds: list[str] = []
        _prepare()

    def __enter__(self) -> Laboratory:
        if self.endpoint:
            self.endpoint.open()
        self._run_undisturbed()
        return self

    def __exit__(self, *_: object) -> None:
        if self.endpoint:
            self.endpoint.close()

    def _run_undisturbed(self) -> None:
        """Note the outcome, the time, the requests, and all calls that touch files."""
        if not self.endpoint:  # the model is to remember its answers here
            run_config(self.config)
            shutil.copytree(self.directory, self.kept)
            if self.budget:
                carry_on(self.config, self.budget)
            self.clear()
        started = time.perf_counter()
        end = self.process(self.go)
        assert end.status == DONE, end.said
        self.seconds = time.perf_counter() - started
        self.requests = self.endpoint.count if self.endpoint else 0
        self.sizes = [file.stat().st_size for file in self.directory.rglob("*") if file.is_file()]
        if not self.endpoint:
            self.clear()
            watched = Watched()
            sys.setprofile(watched)
            self.go()
            sys.setprofile(None)
            self.kinds = watched.kinds
        self.reference = outcome(self.directory, whole=not self.endpoint)

    def go(self) -> None:
        """Start the run, or go on with it, in this process."""
        if self.endpoint:
            self.endpoint.forsake()
        carry_on(self.config, self.budget)

    def process(self, body: Callable[[], None]) -> End:
        """Do something in a process of its own, to its end."""
        return Process(body, self.folder / "said").end()

    def clear(self) -> None:
        """Remove the run, or put the finished one back that gets more budget."""
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.budget:
            shutil.copytree(self.kept, self.directory)
        if self.endpoint:
            self.endpoint.reset()

    def kill(self, seen: Seen, *ways: Callable[[Callable[[], None]], None]) -> None:
        """Carry the run on in ways in which it may be killed."""
        for way in ways:
            end = self.process(partial(way, self.go))
            seen.kills += end.killed
            if end.status in (REFUSED, CRASHED):
                seen.faults.append(f"before its kill: {end.said}")

    def finish(self, seen: Seen) -> Seen:
        """Go on without a fault, and compare the end with that of the undisturbed run."""
        end = self.process(self.go)
        if end.status != DONE:
            seen.refused += end.status == REFUSED
            seen.faults.append(f"the resumed run: {end.said}")
            return seen
        events = (self.directory / "events.jsonl").read_text("utf-8", "replace")
        seen.told = "damaged" in events
        found = outcome(self.directory, whole=not self.endpoint)
        other = [name for name in self.reference if found.get(name) != self.reference[name]]
        seen.same = not other
        ledger = json.loads((self.directory / "result.json").read_text("utf-8"))["ledger"]
        if other and self.repeatable and not ledger["failed"]:
            seen.faults.append(f"not the same: {', '.join(other)}")
        if self.endpoint:
            self._settle(seen, ledger)
        return seen

    def _settle(self, seen: Seen, ledger: Mapping[str, Any]) -> None:
        """Compare what the endpoint answered with what the run has counted."""
        assert self.endpoint
        seen.paid_again = sum(count - 1 for count in self.endpoint.paid().values())
        cuts = seen.kills + seen.refused
        if seen.paid_again > AT_ONCE * cuts:
            seen.faults.append(f"{seen.paid_again} answers paid again after {cuts} ends")
        refused = "SELECT COUNT(*) FROM attempts WHERE why = 'connection'"
        sent = ledger["sent"] - sum(row[0] for row in query_answers(self.directory, refused))
        if not 0 <= sent - self.endpoint.count <= AT_ONCE * cuts:
            seen.faults.append(f"{sent} counted, {self.endpoint.count} received")


def _prepare() -> None:
    """Have this process, and all that come of it, lose no time."""
    model = RememberingModel()
    vars(_pocket)["PocketModel"] = SimpleNamespace(load=lambda: model)
    # Plain HTTP needs no certificates, and they would take most of the time.
    ssl.SSLContext.load_verify_locations = lambda *_, **__: None  # type: ignore[method-assign]
    of = RetryPolicy.of
    RetryPolicy.of = lambda options: replace(of(options), first_delay=0.01)  # type: ignore[method-assign]


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
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
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
@dataclass(frozen=True, slots=True)
class Job:
    """Experiments of one kind on one engine."""

    kind: str
    engine: str
    remote: bool
    count: int


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
