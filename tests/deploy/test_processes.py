"""Real processes on loopback, with TLS and keys: what only they can show.

One coordinator and three sites serve all tests, which are in the order of a story.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyndbt.run import run_config

pytest.importorskip("flwr")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

if True:  # the tests' folder is no package
    sys.path.insert(0, str(Path(__file__).parent))
    from machines import Machines, events, free_port, kill, run, until

STORY = {"local_steps": 6, "refresh_every": 0}


class Town:
    """Machines with their files."""

    def __init__(self, federation: Any, machines: Machines) -> None:
        self.federation, self.machines = federation, machines
        self.folder = federation.folder
        self.address = f"127.0.0.1:{free_port()}"

    @property
    def shared(self) -> str:
        return str(self.federation.shared)

    def write(self, **tables: Any) -> None:
        tls = self.folder / "tls"
        self.federation.write(
            address=self.address,
            link=lambda site: {
                "root_certificate": str(tls / "ca.crt"),
                "key": str(self.folder / "keys" / site),
            },
            flower={
                "certificate": "tls/server.pem",
                "certificate_key": "tls/server.key",
                "root_certificate": "tls/ca.crt",
            },
            **tables,
        )

    def start(self, site: str) -> Path:
        file = self.folder / site / "site.toml"
        return self.machines.start(site, "site", "start", "--config", str(file))

    def online(self) -> int:
        return run("status", self.shared).count(": online")


@pytest.fixture(scope="module")
def town(make_federation: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    federation = make_federation(tmp_path_factory.mktemp("town"))
    machines = Machines(federation.folder)
    town = Town(federation, machines)
    run("keys", "tls", "localhost", "--out", str(town.folder / "tls"))
    town.write(method=STORY, federation={"quorum": "all"})
    try:
        machines.start("coordinator", "coordinator", "start", town.shared)
        until("the coordinator", lambda: _answers(town))
        for site in federation.sites:
            key = town.folder / "keys" / site
            run("keys", "new", str(key))
            run("keys", "register", town.shared, f"{key}.pub")
            town.start(site)
        until("three sites", lambda: town.online() == 3)
        yield town
    finally:
        machines.end_all()


def _answers(town: Town) -> bool:
    try:
        return bool(run("status", town.shared) or True)
    except AssertionError:
        return False


def test_a_run_has_the_result_of_one_machine(town: Town, one_machine: Any) -> None:
    directory = town.folder / "clean"
    said = run("run", town.shared, "--dir", str(directory), "--json").splitlines()
    across = json.loads((directory / "result.json").read_text())
    local = run_config(one_machine(town.folder, method=STORY, quorum="all")).data
    assert across["metrics"] == local["metrics"]
    assert across["fragment"] == local["fragment"]
    assert across["ledger"] == local["ledger"]
    assert {json.loads(line)["kind"] for line in said} >= {"start", "joined", "step", "result"}


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
    calls = 60 * 6 + 54
    town.write(
        method={"local_steps": 2, "refresh_every": 0},
        budget={"per_site": {"calls": calls}},
        federation={"quorum": 2, "staleness": 100},
    )
    for site in town.federation.sites:
        file = town.folder / site / "site.toml"
        file.write_text(file.read_text().replace("calls = 126", f"calls = {calls}"))
    directory = town.folder / "eventful"
    town.machines.start("run", "run", town.shared, "--dir", str(directory), "--json")
    until("two steps", lambda: len(events(directory, "step")) >= 2)

    town.machines.kill("phones")
    town.start("phones")
    until("phones is missed", lambda: events(directory, "gone"), 150)
    until("phones is back", lambda: len(events(directory, "joined")) > 3, 150)
    assert [event["site"] for event in events(directory, "gone")] == ["phones"]

    kill(town.machines.inside("coordinator", "flower-superlink"))
    assert town.machines.ended("run") == 1
    steps = len(events(directory, "step"))
    assert not (directory / "result.json").exists()
    until("all sites again", lambda: _answers(town) and town.online() == 3, 150)
    run("resume", str(directory), "--quiet")

    numbers = [event["iteration"] for event in events(directory, "step")]
    assert numbers == list(range(1, len(numbers) + 1)), "no step is lost, none is there twice"
    assert len(numbers) > steps
    result = json.loads((directory / "result.json").read_text())
    assert result["metrics"]["test"]["tuned"]["n"] == 18
    assert all(not site["gone"] for site in result["sites"].values())
    spent = result["ledger"]["calls"]
    assert 0 < spent <= 3 * calls
