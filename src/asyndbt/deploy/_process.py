"""Keep processes running: restart them when they end, and stop them with this process."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LONGEST_PAUSE = 15.0
_STEADY = 60.0
"""Seconds after which a start counts as successful."""
_LAST_WORDS = 2_000
"""Bytes at the end of a log that are searched for a reason."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running.

    Parameters
    ----------
    command : callable
        Returns the command for each start.
    log : Path
        Receives the process's output.
    environment : mapping, optional
        Complete environment of the process; by default that of this one.
    refusals : mapping of str to str
        Explanations for the user, by words at the end of the log.
    """

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    environment: Mapping[str, str] | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)


def keep_running(children: Sequence[Child], say: Callable[[str], None]) -> None:
    """Run processes until SIGTERM or Ctrl-C; `say` receives a line on what starts and ends."""
    asyncio.run(_keep_running(children, say))


async def _keep_running(children: Sequence[Child], say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(_keep(child, say)) for child in children]
    await stop.wait()
    say("stopping ...")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(child: Child, say: Callable[[str], None]) -> None:
    """Restart one process again and again, with pauses that grow while it fails early."""
    loop, pause = asyncio.get_running_loop(), 1.0
    while True:
        started = loop.time()
        code = await _run(child)
        pause = 1.0 if loop.time() - started > _STEADY else min(2 * pause, _LONGEST_PAUSE)
        say(f"{child.name}: {_reason(child, code)}; starts again in {pause:.0f} s")
        await asyncio.sleep(pause)


def _reason(child: Child, code: int) -> str:
    with child.log.open("rb") as log:
        log.seek(max(0, child.log.stat().st_size - _LAST_WORDS))
        said = log.read().decode("utf-8", "replace")
    for words, meaning in child.refusals.items():
        if words in said:
            return meaning
    return f"ended with code {code}, see {child.log}"


async def _run(child: Child) -> int:
    """Run a process to its end; stop it if this is cancelled."""
    child.log.parent.mkdir(parents=True, exist_ok=True)
    with child.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "asyndbt.deploy._tether", *child.command()),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=child.environment,
            start_new_session=True,
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                assert process.stdin is not None
                process.stdin.close()
                await process.wait()
