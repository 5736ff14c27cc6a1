"""Stopped under load: what was answered is on disk, and what was sent is counted."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults import server as faults
from tests.faults.conftest import label_by_length
from tests.faults.server import FaultServer, Reply, Request

from asyndbt.baselines import resume_run
from asyndbt.lm import Prompt, request_key
from asyndbt.run import run_config

PROBE = 2
FOR_GOOD = 3600.0
AT_ONCE = 8
RUN = """
import ssl, sys
from asyndbt.config import load_config
from asyndbt.baselines import resume_run
from asyndbt.run import run_config
ssl.SSLContext.load_verify_locations = lambda *_, **__: None
target = sys.argv[1]
run_config(load_config(target)) if target.endswith(".toml") else resume_run(target)
"""
COMMAND = """
import signal, ssl, sys
from asyndbt.cli import main
# A shell that starts the tests in the background has this signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
ssl.SSLContext.load_verify_locations = lambda *_, **__: None
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")


class SlowAndFaulty:
    """Holds every request for a moment, and those from `end` on for good; loses some answers."""

    end = math.inf

    def __call__(self, number: int, request: Request) -> Reply:
        reply = faults.reset_midway() if number > PROBE and number % 13 == 0 else None
        delay = 0.01 if number < self.end else FOR_GOOD
        return replace(reply or label_by_length(request), delay=delay)


def reached(process: subprocess.Popen[Any], server: FaultServer, count: int) -> None:
    """Wait until the endpoint of a process has so many requests."""
    while server.count < count and process.poll() is None:
        time.sleep(0.001)


def killed_at(target: Path, server: FaultServer, count: int) -> None:
    """Carry a run out in a process of its own, killed once its endpoint has so many requests."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(target)])
    try:
        reached(process, server, count)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL


def keys(directory: Path, table: str, where: str = "1") -> list[bytes]:
    """Keys of the requests in all sites' files, as they lie there."""
    found = []
    for file in directory.glob("sites/*/answers.sqlite"):
        database = sqlite3.connect(file)
        found += [key for (key,) in database.execute(f"SELECT key FROM {table} WHERE {where}")]
        database.close()
    return found


def key_of(model: str, labels: list[str], request: Request) -> bytes:
    """Key under which the answer to a request is stored; none if it was cut off by a kill."""
    if request.body is None:
        return b""
    said = [turn["content"] for turn in request.body["messages"]]
    shots = tuple(zip(said[:-1:2], said[1::2], strict=True))
    return request_key(model, Prompt(shots, said[-1]), labels)


def test_killed_under_load_and_resumed(kit: Any) -> None:
    fate = SlowAndFaulty()
    with FaultServer(fate) as server:
        changes = {
            "lm": {"max_concurrency": AT_ONCE, "max_retries": 0},
            "method": {"iterations": 6},
            "budget": {"per_site": {"calls": 2 * kit.least}},
        }
        config = kit.over(server.url, **changes)
        target, directory = kit.written(config), config.run.dir
        past: list[tuple[int, set[bytes]]] = []
        for count in (40, 120):
            # Killed anywhere in between, and never done before.
            fate.end = count + 60
            killed_at(target, server, count)
            received, target = server.count, directory
            stored, sent = keys(directory, "answers"), keys(directory, "attempts")
            past.append((received, set(stored)))
            assert len(set(stored)) == len(stored) > 0
            # A row is written before its request is sent, so that none goes uncounted.
            assert 0 <= PROBE + len(stored) + len(sent) - received <= AT_ONCE * len(past)
            assert len(keys(directory, "attempts", "why IS NULL")) <= AT_ONCE
            answered = sum(each.sent for each in server.requests[PROBE:received])
            assert answered - len(stored) <= AT_ONCE * len(past)
        fate.end = math.inf
        ledger = resume_run(directory).data["ledger"]

    model, labels = kit.read(directory / "model.json")["model"], list(kit.task.labels.values())
    asked = [key_of(model, labels, request) for request in server.requests]
    for received, stored in past:
        assert stored <= set(asked[:received])
        assert not stored & set(asked[received:])
    answers, attempts = keys(directory, "answers"), keys(directory, "attempts")
    assert set(answers) <= set(asked[PROBE:]) <= {*answers, *attempts, b""}
    assert ledger["sent"] == PROBE + len(answers) + len(attempts)
    assert 0 <= ledger["sent"] - server.count <= AT_ONCE * len(past)
    interrupted = keys(directory, "attempts", "why = 'interrupted'")
    lost = keys(directory, "attempts", "why = 'connection lost'")
    assert len(interrupted) + len(lost) == len(attempts)
    assert ledger["calls"] == ledger["sent"] <= PROBE + 3 * config.budget.per_site.calls


def test_killed_before_it_knows_the_endpoint_a_run_starts_anew(kit: Any) -> None:
    fate = SlowAndFaulty()
    with FaultServer(fate) as server:
        changes = {"method": {"iterations": 1}, "lm": {"max_retries": 0}}
        config = kit.over(server.url, **changes)
        fate.end = PROBE - 1
        killed_at(kit.written(config), server, 1)
        fate.end = math.inf
        ledger = run_config(config).data["ledger"]
    # The last request may have been written down and not yet sent.
    assert 0 <= ledger["sent"] - server.count <= 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_under_load_says_how_to_go_on(kit: Any, number: signal.Signals, code: int) -> None:
    fate = SlowAndFaulty()
    with FaultServer(fate) as server:
        config = kit.over(server.url, lm={"max_concurrency": AT_ONCE, "max_retries": 0})
        argv = [sys.executable, "-c", COMMAND, "run", str(kit.written(config)), "--quiet"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        fate.end = 100
        reached(process, server, 60)
        process.send_signal(number)
        out, err = process.communicate(timeout=600)
        received, directory = server.count, config.run.dir
    assert (process.returncode, out) == (code, "")
    assert err == f"asyndbt: stopped: go on with: asyndbt resume {directory}\n"
    assert keys(directory, "attempts", "why IS NULL") == []
    stored, sent = keys(directory, "answers"), keys(directory, "attempts")
    assert 0 <= PROBE + len(stored) + len(sent) - received <= AT_ONCE
