"""Flower's commands: with a home directory of their own, no telemetry, and a minimal environment.

What a site's environment holds, such as the key of its language model, is hidden from the
processes that run code sent by the coordinator.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asyndbt._spelling import composed
from asyndbt._text import listed
from asyndbt.config import Config, FlowerConfig, LinkConfig, format_table, split_address
from asyndbt.errors import ConfigError, DeployError, MissingExtraError

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR", "TZ")
_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "200",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_CONNECTION = "asyndbt"
_NODES = "sites.json"
"""Node numbers by site."""
_PATIENCE = 90.0


def check_installed() -> None:
    """Raise MissingExtraError if Flower is not installed."""
    if find_spec("flwr") is None:
        raise MissingExtraError("flwr", "flower")


def flower_of(config: Config) -> FlowerConfig:
    """Return [federation.flower].

    Raises
    ------
    ConfigError
        If the configuration is for one machine.
    """
    if config.federation.flower is None:
        raise ConfigError(
            f'federation.engine = "{config.federation.engine}" is for one machine: set "flower"'
        )
    return config.federation.flower


class Flower:
    """Flower's command line, with its configuration and logs below `home`."""

    def __init__(self, home: Path) -> None:
        check_installed()
        self.home = home
        (home / "logs").mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Environment of Flower's processes."""
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        tools = str(Path(sys.executable).parent)
        path = os.pathsep.join([tools, os.environ.get("PATH", os.defpath)])
        return {**kept, **_SETTINGS, "PATH": path, "FLWR_HOME": str(self.home)}

    def connect(self, config: FlowerConfig) -> None:
        """Write the coordinator's address into Flower's configuration."""
        link: dict[str, Any] = {"address": config.address}
        if config.root_certificate is None:
            link["insecure"] = True
        else:
            link["root-certificates"] = str(config.root_certificate)
        table = {"superlink": {"default": _CONNECTION, _CONNECTION: link}}
        (self.home / "config.toml").write_text(format_table(table), encoding="utf-8")

    def ask(self, *arguments: str) -> Mapping[str, Any]:
        """Run one of Flower's commands and return its JSON output.

        Raises
        ------
        DeployError
            If it fails, or the coordinator does not answer.
        """
        try:
            done = subprocess.run(
                ["flwr", *arguments, "--format", "json"],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeployError(
                f"flwr {arguments[0]}: no answer in {_PATIENCE:.0f} s: is the coordinator running? "
                "(asyndbt coordinator start)"
            ) from None
        said = _last_json(done.stdout)
        if not said.get("success"):
            why = said.get("error-message") or done.stderr or done.stdout
            raise DeployError(
                f"flwr {arguments[0]}: {' '.join(str(why).split())[-300:]} (is it running? "
                "asyndbt coordinator start)"
            )
        return said


def connected(config: Config) -> Flower:
    """Return Flower's commands, configured for the coordinator's address."""
    section = flower_of(config)
    flower = Flower(section.home)
    flower.connect(section)
    return flower


def superlink_command(config: FlowerConfig, home: Path) -> list[str]:
    """Return the command that listens for sites.

    A host name means all addresses of this machine; an address means itself.
    """
    host, port = split_address(config.address)
    listen = host if host.replace(".", "").isdigit() or ":" in host else "0.0.0.0"
    listen = "127.0.0.1" if host == "localhost" else listen
    command = ["flower-superlink", "--host", listen, "--port", str(port)]
    command += ["--database", str(home / "superlink.sqlite")]
    command += ["--disable-runtime-dependency-installation"]
    if not config.secured:
        return [*command, "--insecure"]
    return [
        *command,
        *("--ssl-certfile", str(config.certificate)),
        *("--ssl-keyfile", str(config.certificate_key)),
        *("--ssl-ca-certfile", str(config.root_certificate)),
        "--enable-supernode-auth",
    ]


def supernode_command(link: LinkConfig, site: str, relay: Path, port: int) -> list[str]:
    """Return the command that connects to the coordinator and passes its messages to the relay."""
    node = f"site={json.dumps(site)} relay={json.dumps(str(relay))}"
    command = ["flower-supernode", "--superlink", link.address, "--node-config", node]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    if link.root_certificate is None:
        command += ["--insecure"]
    else:
        command += ["--root-certificates", str(link.root_certificate)]
    if link.key is not None:
        command += ["--auth-supernode-private-key", str(link.key)]
    return command


def _last_json(text: str) -> Mapping[str, Any]:
    """Return the JSON object in a command's output, whatever precedes it."""
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text[start:])
        except json.JSONDecodeError:
            start = text.find("{", start + 1)
        else:
            return found if isinstance(found, dict) else {}
    return {}


def register_key(config: Config, public: Path, site: str | None = None) -> str:
    """Admit the site with this public key; return its node number.

    From then on nobody has the site's name who does not have the key.

    Parameters
    ----------
    config : Config
    public : Path
    site : str, optional
        The key's file is called so without it: ``north.pub``.

    Raises
    ------
    ConfigError
        If the configuration names no such site.
    DeployError
        If there is no such file, or the coordinator refuses it or does not answer.
    """
    if not public.is_file():
        raise DeployError(f"{public}: no such file; asyndbt keys new makes one at the site")
    site = composed(public.stem if site is None else site)
    if site not in (known := config.federation.sites or ()):
        raise ConfigError(
            f"the key of {site}: say whose key it is with --site, one of {listed(known)}"
        )
    flower = connected(config)
    node = int(flower.ask("supernode", "register", str(public))["node-id"])
    nodes = {**registered_nodes(flower.home), site: node}
    (flower.home / _NODES).write_text(json.dumps(nodes, indent=1) + "\n", encoding="utf-8")
    return str(node)


def registered_nodes(home: Path) -> dict[str, int]:
    """Return the node of every site whose key is registered.

    Flower looks a node's number up by the key that the node proves to have.
    """
    try:
        found: dict[str, int] = json.loads((home / _NODES).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return found


def status_lines(config: Config) -> Iterator[str]:
    """Describe nodes and runs, one per line."""
    flower = connected(config)
    sites = {node: site for site, node in registered_nodes(flower.home).items()}
    for node in flower.ask("supernode", "list")["nodes"]:
        site = sites.get(int(node["node-id"]))
        whose = f" ({site})" if site else ""
        yield f"node {node['node-id']}{whose}: {node['status']}"
    for run in flower.ask("list")["runs"]:
        yield f"run {run['run-id']}: {run['status']} {run['status-details']}".rstrip()
