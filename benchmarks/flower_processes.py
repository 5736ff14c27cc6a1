"""What does a step cost across Flower's real processes, what does asynchrony save? By the clock.

    python benchmarks/flower_processes.py [--steps 8]     (with pip install -e ".[flower,openai]")

Measured on loopback, by the clock: `asyndbt coordinator start`, three `asyndbt site start`, without
TLS, then one `asyndbt run` that waits for two of three sites and one that waits for all of them. A
site's language model is a server that answers every request after a fixed time, 0.2 s at two sites
and 2 s at the third; a message carries 10 local steps of 20 requests at once, so 2 s of work or
20 s. Seconds per server step are those between the first and the last; what they are above the work
that the step waits for is Flower's and ours. The same runs with engine "local" show what is ours.

How to read it: asynchronous at least 1.8 times faster. Models answer nonsense: only time is looked
at. Work takes longer than the servers' delays alone, since a limiter begins with few requests at a
time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asyndbt._api import tune
from asyndbt.config import Config, format_table
from common import parser, table, write_results
from endpoint import SERVER

DELAYS = {"north": 0.2, "south": 0.2, "west": 2.0}
LOCAL_STEPS = 10
TARGET = 1.8
COMMAND = [sys.executable, "-m", "asyndbt"]


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process for the time being."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def shared(folder: Path, port: int, quorum: int, steps: int) -> dict[str, Any]:
    """The file that all sites have."""
    return {
        "task": {"instruction": "Is {text_a} good?", "labels": {"0": "bad", "1": "good"}},
        "method": {
            "vocabulary_limit": 20,
            "fragment_length": 3,
            "local_steps": LOCAL_STEPS,
            "iterations": steps,
            "refresh_every": 0,
            "confirm_candidates": 1,
            "random_icl_draws": 1,
        },
        "federation": {
            "engine": "flower",
            "sites": list(DELAYS),
            "quorum": quorum,
            "staleness": 100,
            "lease": 300.0,
            "flower": {"address": f"127.0.0.1:{port}", "home": str(folder / "flower")},
        },
        "run": {"dir": str(folder / f"run-{quorum}")},
    }


def write_sites(folder: Path, port: int, urls: dict[str, str]) -> None:
    """Every site's own files."""
    for number, (site, url) in enumerate(urls.items()):
        place = folder / site
        place.mkdir(exist_ok=True)
        for part, per_class in (("train", 30), ("validation", 2), ("test", 2)):
            rows = [
                {"text_a": f"{part} thing {number} {row}", "label": str(row % 2)}
                for row in range(2 * per_class)
            ]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (place / f"{part}.jsonl").write_text(text)
        tables = {
            "site": {"name": site, "shared": str(folder / "shared.toml"), "state": "state"},
            "coordinator": {"address": f"127.0.0.1:{port}"},
            "data": data(place),
            "lm": model(url),
        }
        (place / "site.toml").write_text(format_table(tables))


def data(place: Path) -> dict[str, Any]:
    """The table [data] of a site."""
    files = {part: str(place / f"{part}.jsonl") for part in ("train", "validation", "test")}
    return {**files, "pool_per_class": 5}


def model(url: str) -> dict[str, Any]:
    """The table [lm] of a site."""
    return {
        "provider": "openai",
        "model": "m",
        "base_url": url,
        "feedback": "text",
        "max_concurrency": 64,
    }


def seconds_per_step(directory: Path) -> float:
    """Mean time between server steps, of the record of a run."""
    lines = (directory / "events.jsonl").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    times = [event["elapsed"] for event in events if event["kind"] == "step"]
    return float((times[-1] - times[0]) / (len(times) - 1))


def federated(folder: Path, urls: dict[str, str], steps: int) -> dict[int, float]:
    """Seconds per server step by quorum, across Flower's processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    write_sites(folder, port, urls)
    file, found = folder / "shared.toml", {}
    with ExitStack() as processes, (folder / "log").open("w") as log:
        file.write_text(format_table(shared(folder, port, 2, steps)))
        starts: list[tuple[str, ...]] = [("coordinator", "start", str(file))]
        starts += [("site", "start", "--config", str(folder / s / "site.toml")) for s in DELAYS]
        for arguments in starts:
            processes.enter_context(running(*COMMAND, *arguments, stdout=log, stderr=log))
            time.sleep(10)
        for quorum in (2, 3):
            tables = shared(folder, port, quorum, steps)
            file.write_text(format_table(tables))
            subprocess.run([*COMMAND, "run", str(file), "--quiet"], check=True, stdout=log)
            found[quorum] = seconds_per_step(Path(tables["run"]["dir"]))
    return found


def local(folder: Path, urls: dict[str, str], steps: int) -> dict[int, float]:
    """The same with engine "local"; all sites ask the fast server, as one run has one model."""
    found = {}
    for quorum in (2, 3):
        tables = shared(folder, 1, quorum, steps)
        tables["federation"] = {"quorum": quorum, "staleness": 100}
        tables["data"] = {"sites": {s: data(folder / s) for s in DELAYS}, "pool_per_class": 5}
        for site in tables["data"]["sites"].values():
            del site["pool_per_class"]
        tables["lm"] = model(urls["north"])
        tables["run"] = {"dir": str(folder / f"local-{quorum}")}
        found[quorum] = seconds_per_step(tune(Config.from_dict(tables)).directory)
    return found


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, seeds=1, tasks=False)
    options.add_argument("--steps", type=int, default=8, help="server steps of a run")
    args = options.parse_args()
    if args.quick:
        args.steps = 3
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with TemporaryDirectory(prefix="asyndbt-benchmark-") as name, ExitStack() as servers:
        folder, urls = Path(name), {}
        for site, delay in DELAYS.items():
            command = (sys.executable, "-c", SERVER, str(delay))
            server = servers.enter_context(running(*command, stdout=subprocess.PIPE))
            assert server.stdout is not None
            urls[site] = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        across = federated(folder, urls, args.steps)
        here = local(folder, urls, args.steps)
    report(across, here, args)


def report(across: dict[int, float], here: dict[int, float], args: Any) -> None:
    """Print and write the figures."""
    fast, slow = (LOCAL_STEPS * delay for delay in (DELAYS["north"], DELAYS["west"]))
    ratio = across[3] / across[2]
    rows = [
        ["flower, quorum 2 of 3", f"{across[2]:.1f}", f"{fast:.0f}", f"{across[2] - fast:.1f}"],
        ["flower, quorum 3 of 3", f"{across[3]:.1f}", f"{slow:.0f}", f"{across[3] - slow:.1f}"],
        ["local, all sites fast", f"{here[3]:.1f}", f"{fast:.0f}", f"{here[3] - fast:.1f}"],
    ]
    met = "met" if ratio >= TARGET else "**not met**"
    text = "\n".join(
        [
            "# Flower's real processes on loopback, one of three sites ten times slower\n",
            table(["run", "seconds per server step", "work that it waits for", "beyond"], rows),
            f"Asynchronous is {ratio:.1f} times faster; target >= {TARGET}: {met}.",
        ]
    )
    figures = {"flower": across, "local": here, "ratio": ratio}
    write_results("flower_processes", text, figures, args)


if __name__ == "__main__":
    main()
