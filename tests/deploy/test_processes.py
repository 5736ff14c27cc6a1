"""Real processes on loopback, with TLS and keys: what only they can show.

One coordinator and three sites serve all tests, which are in the order of a story.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.wire import Tap, found_in

from asyndbt.run import run_config

pytest.importorskip("flwr")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

COMMAND = [sys.executable, "-m", "asyndbt"]
HANG = 1_800.0
"""Seconds after which something will never happen."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, check: Callable[[], Any], pause: float = 0.2) -> Any:
    """Wait until something is the case, and return it; `pause` are the seconds between looks."""
    end = time.monotonic() + HANG
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {HANG:.0f} s")


class Machines:
    """Commands that run until they are ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str) -> Path:
        """Start a command; return the file of what it prints."""
        said = self.folder / f"{name}.out"
        with said.open("ab") as out:
            self._running[name] = subprocess.Popen([*COMMAND, *arguments], stdout=out, stderr=out)
        return said

    def ended(self, name: str) -> int:
        """Wait for a command to end by itself; return its exit code."""
        code = self._running[name].wait(HANG)
        del self._running[name]
        return code

    def kill(self, name: str) -> None:
        """SIGKILL for a command and all that it has started: the plug is pulled."""
        process = self._running.pop(name)
        for pid in reversed(list(descendants(process.pid))):
            kill(pid)
        process.wait(HANG)

    def inside(self, name: str, program: str) -> int:
        """The process that a command has started, by a word of its command line."""

        def find() -> int | None:
            for pid in descendants(self._running[name].pid):
                words = command_line(pid)
                if any(program in word for word in words) and not any("tether" in w for w in words):
                    return pid
            return None

        return int(until(f"{program} of {name}", find))

    def end_all(self) -> None:
        for process in self._running.values():
            process.terminate()
        for name in list(self._running):
            try:
                self._running[name].wait(20)
            except subprocess.TimeoutExpired:
                self.kill(name)
        self._running.clear()
        for pid in _with_home_below(self.folder):
            kill(pid)


def run(*arguments: str) -> str:
    """Run a command to its end, which must be a good one; return what it prints."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> Iterator[int]:
    """A process and all below it, parents first."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = file.read_text().split()
        except OSError:
            continue
        for child in below:
            yield from descendants(int(child))


def _with_home_below(folder: Path) -> Iterator[int]:
    """Processes of Flower that outlived those that had started them."""
    mark = f"FLWR_HOME={folder}".encode()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in file.read_bytes():
                yield int(file.parent.name)


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def events(directory: Path, kind: str) -> list[dict[str, Any]]:
    file = directory / "events.jsonl"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [event for event in found if event["kind"] == kind]


STORY = {"local_steps": 6, "refresh_every": 0}
PAUSE = 4.0
"""Seconds between two commands that ask who is there: each takes a processor for some seconds."""
LEASE = 2 * HANG
"""A site is missed because Flower says so."""
CANARIES = {part: f"zyxquux{number}" for number, part in enumerate(("train", "validation", "test"))}


def planted(part: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**row, "text_a": f"{CANARIES[part]} {row['text_a']}"} for row in rows]


class Town:
    """Machines with their files; what sites and coordinator say to each other goes by `tap`."""

    tap: Tap

    def __init__(self, federation: Any, machines: Machines) -> None:
        self.federation, self.machines = federation, machines
        self.folder, self.port = federation.folder, free_port()

    @property
    def shared(self) -> str:
        return str(self.federation.shared)

    def write(self, *, ttl: float = LEASE, **tables: Any) -> None:
        tls = self.folder / "tls"
        self.federation.write(
            change=planted,
            address=f"127.0.0.1:{self.port}",
            link=lambda site: {
                "address": f"127.0.0.1:{self.tap.port}",
                "root_certificate": str(tls / "ca.crt"),
                "key": str(self.folder / "keys" / site),
            },
            flower={
                "certificate": "tls/server.pem",
                "certificate_key": "tls/server.key",
                "root_certificate": "tls/ca.crt",
                "ttl": ttl,
            },
            **tables,
        )

    def start(self, site: str) -> Path:
        file = self.folder / site / "site.toml"
        return self.machines.start(site, "site", "start", "--config", str(file))

    def online(self) -> int | None:
        """How many sites are connected; None if the coordinator does not answer."""
        done = subprocess.run(
            [*COMMAND, "status", self.shared], capture_output=True, text=True, timeout=HANG
        )
        return None if done.returncode else done.stdout.count(": online")


@pytest.fixture(scope="module")
def town(make_federation: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    federation = make_federation(tmp_path_factory.mktemp("town"))
    machines = Machines(federation.folder)
    town = Town(federation, machines)
    run("keys", "tls", "localhost", "--out", str(town.folder / "tls"))
    with Tap(town.port, town.folder / "tls") as town.tap:
        town.write(method=STORY, federation={"quorum": "all", "lease": LEASE})
        try:
            machines.start("coordinator", "coordinator", "start", town.shared)
            until("the coordinator", lambda: town.online() is not None, PAUSE)
            for site in federation.sites:
                key = town.folder / "keys" / site
                run("keys", "new", str(key))
                run("keys", "register", town.shared, f"{key}.pub")
                town.start(site)
            until("three sites", lambda: town.online() == 3, PAUSE)
            yield town
        finally:
            machines.end_all()


def test_a_run_has_the_result_of_one_machine(town: Town, one_machine: Any) -> None:
    directory = town.folder / "clean"
    said = run("run", town.shared, "--dir", str(directory), "--json").splitlines()
    across = json.loads((directory / "result.json").read_text())
    local = run_config(one_machine(town.folder, method=STORY, quorum="all")).data
    assert across["metrics"] == local["metrics"]
    assert across["fragment"] == local["fragment"]
    assert across["ledger"] == local["ledger"]
    assert {json.loads(line)["kind"] for line in said} >= {"start", "joined", "step", "result"}


def test_no_word_of_a_site_was_on_the_line(town: Town, one_machine: Any) -> None:
    """Flower's bytes, both ways: what is known to be sent is in them, and no text of a row."""
    planted_words = {word.encode() for word in CANARIES.values()}
    texts = {row.encode() for row in _texts(town)}
    task = one_machine(town.folder).task
    secret = planted_words | texts | {task.instruction[:12].encode(), b"Answer:"}
    for way, kind in (("out", b"StepDone"), ("in", b"Evaluate")):
        passed = town.tap.passed(way)
        known = {site.encode() for site in town.federation.sites} | {kind}
        assert found_in(passed, secret | known) == known
    for site in town.federation.sites:
        kept = town.federation.kept(site) / "sites" / site / "prompt.json"
        assert found_in(kept.read_bytes(), planted_words), "the search finds what is there"


def _texts(town: Town) -> Iterator[str]:
    """Yield the text of every row of every site."""
    for site, part in product(town.federation.sites, CANARIES):
        for line in (town.folder / site / f"{part}.jsonl").read_text("utf-8").splitlines():
            yield json.loads(line)["text_a"].partition(" ")[2]


def test_a_stranger_is_refused_and_harms_nobody(town: Town) -> None:
    run("keys", "new", str(town.folder / "keys" / "stranger"))
    file = town.folder / "meals" / "stranger.toml"
    own = (town.folder / "meals" / "site.toml").read_text()
    file.write_text(own.replace("keys/meals", "keys/stranger").replace('"state"', '"other"'))
    said = town.machines.start("stranger", "site", "start", "--config", str(file))
    until("a refusal", lambda: "its key is not registered" in said.read_text())
    assert town.online() == 3
    town.machines.kill("stranger")


def test_a_killed_site_comes_back_and_a_killed_coordinator_goes_on(town: Town) -> None:
    """The coordinator is killed as soon as the site is missed.

    So one wait is for both: the command hears from Flower that the run has ended, and Flower takes
    the site in, which counted as connected. The resumed run greets it: the latest checkpoint may
    have it as missed or as at work. The others cannot come to the end before: until the site is
    missed they may go three steps beyond the last that used it.
    """
    calls, steps = 1_000, 10
    town.write(
        method={"iterations": steps, "refresh_every": 0},
        # A message that Flower loses with a killed process is missed after the lease, and the site
        # greeted after the ttl.
        federation={"quorum": 2, "staleness": 3, "lease": HANG / 6},
        ttl=HANG / 6,
        calls=calls,
    )
    directory = town.folder / "eventful"
    town.machines.start("run", "run", town.shared, "--dir", str(directory), "--json")
    until("a step", lambda: events(directory, "step"))

    town.machines.kill("phones")
    town.start("phones")
    until("phones is missed", lambda: events(directory, "gone"))
    assert [event["site"] for event in events(directory, "gone")] == ["phones"]
    kill(town.machines.inside("coordinator", "flower-superlink"))
    assert town.machines.ended("run") == 1
    before = len(events(directory, "step"))
    assert not (directory / "result.json").exists()
    until("all sites again", lambda: town.online() == 3, PAUSE)
    run("resume", str(directory), "--quiet")

    numbers = [event["iteration"] for event in events(directory, "step")]
    assert numbers == list(range(1, steps + 1)), "no step is lost, none is there twice"
    assert before < steps
    result = json.loads((directory / "result.json").read_text())
    assert result["metrics"]["test"]["tuned"]["n"] == 18
    assert all(not site["gone"] for site in result["sites"].values())
    spent = result["ledger"]["calls"]
    assert 0 < spent <= 3 * calls
