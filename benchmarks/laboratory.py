"""Runs in processes of their own that are killed or disturbed, and what is left of them.

Not a benchmark itself: `chaos.py` has the experiments.
"""

from __future__ import annotations

import json
import os
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
from dataclasses import dataclass, field, replace
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
NOBODY = 65534


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


# ---------------------------------------------------------------------- the place of experiments
@dataclass(frozen=True, slots=True)
class Job:
    """Experiments of one kind on one engine."""

    kind: str
    engine: str
    remote: bool
    count: int


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
