"""Coordinator and sites as processes of this machine, started by the command and always ended."""

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
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "asyndbt.cli.main"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, check: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait until something is the case, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


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

    def ended(self, name: str, seconds: float = 120.0) -> int:
        """Wait for a command to end by itself; return its exit code."""
        code = self._running[name].wait(seconds)
        del self._running[name]
        return code

    def kill(self, name: str) -> None:
        """SIGKILL for a command and all that it has started: the plug is pulled."""
        process = self._running.pop(name)
        for pid in reversed(list(descendants(process.pid))):
            kill(pid)
        process.wait(10)

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
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=240)
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
