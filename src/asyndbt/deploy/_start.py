"""The long-running processes of the coordinator and of a site."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from sys import executable
from tempfile import TemporaryDirectory

from asyndbt.config import Config, FlowerConfig, is_loopback, load_site_file
from asyndbt.deploy._flower import (
    Flower,
    check_installed,
    connected,
    flower_of,
    superlink_command,
    supernode_command,
)
from asyndbt.deploy._process import Child, keep_running
from asyndbt.errors import ConfigError
from asyndbt.run import check_run

_REFUSALS = {
    "Exit Code: 305": "the coordinator refuses it: its key is not registered there (asyndbt keys "
    "register), or it was killed within the last minute and counts as connected still"
}


def start_coordinator(config: Config, insecure: bool, say: Callable[[str], None]) -> None:
    """Listen for sites until stopped.

    Raises
    ------
    ConfigError
        If the connection is not encrypted, unless `insecure` allows it or the address is local.
    """
    flower = flower_of(config)
    if not flower.secured and not insecure and not is_loopback(flower.address):
        raise ConfigError(
            f"federation.flower.certificate is missing, and {flower.address} is not this machine "
            "alone: make one (asyndbt keys tls HOST), or say --insecure for a trial"
        )
    _check_files(flower.certificate, flower.certificate_key, flower.root_certificate)
    home = connected(config)
    log = flower.home / "logs" / "superlink.log"
    say(f"coordinator at {flower.address}: {_safety(flower)}")
    say(f"log: {log}")
    if not is_loopback(flower.address):
        say(
            "warning: anyone who reaches this port can submit code that all sites run: "
            "let the firewall admit only the sites"
        )
    command = superlink_command(flower, flower.home)
    keep_running([Child("superlink", lambda: command, log, home.environment)], say)


def start_site(file: Path, insecure: bool, say: Callable[[str], None]) -> None:
    """Take part in runs until stopped: a process with the data, and one that connects.

    Raises
    ------
    ConfigError, DataError, BudgetError
        Before anything is started, if the site could not work.
    """
    check_installed()
    site = load_site_file(file)
    site.coordinator.check(insecure)
    _check_files(site.coordinator.root_certificate, site.coordinator.key)
    shared = site.shared()
    for text in check_run(site.private(shared, file.parent), shared).warnings:
        say(f"warning: {text}")
    home = Flower(site.site.state / "flower")
    logs = site.site.state / "logs"
    say(f"site {site.site.name}: dials {site.coordinator.address}; state and logs: {logs.parent}")
    with TemporaryDirectory(prefix="asyndbt-") as folder:
        relay = Path(folder) / "relay"
        own = [executable, "-m", "asyndbt.deploy._site_process", str(file), str(relay)]
        children = [
            Child("site", lambda: own, logs / "site.log", dict(os.environ)),
            Child(
                "supernode",
                lambda: supernode_command(site.coordinator, site.site.name, relay, _free_port()),
                logs / "supernode.log",
                home.environment,
                _REFUSALS,
            ),
        ]
        keep_running(children, say)


def _check_files(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.is_file():
            raise ConfigError(f"{path}: no such file; asyndbt keys makes keys and certificates")


def _safety(flower: FlowerConfig) -> str:
    if flower.secured:
        return "encrypted, for sites whose keys are registered"
    return "NOT encrypted, and open to anyone who can reach it"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
