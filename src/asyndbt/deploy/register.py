"""What the coordinator's operator asks Flower: to admit a key, and how things are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asyndbt.config import Config
from asyndbt.deploy.flower import Flower
from asyndbt.deploy.start import flower_of
from asyndbt.errors import DeployError

__all__ = ["register_key", "status_lines"]


def register_key(config: Config, public: Path) -> str:
    """Admit the site with this public key; return its number as a node.

    Raises
    ------
    DeployError
        If the file is none, or the coordinator refuses it or is not there.
    """
    if not public.is_file():
        raise DeployError(f"{public}: no such file; asyndbt keys new makes one at the site")
    flower = _connected(config)
    return str(flower.ask("supernode", "register", str(public))["node-id"])


def status_lines(config: Config) -> Iterator[str]:
    """Describe nodes and runs, one a line."""
    flower = _connected(config)
    for node in flower.ask("supernode", "list")["nodes"]:
        yield f"node {node['node-id']}: {node['status']}"
    for run in flower.ask("list")["runs"]:
        yield f"run {run['run-id']}: {run['status']} {run['status-details']}".rstrip()


def _connected(config: Config) -> Flower:
    section = flower_of(config)
    flower = Flower(section.home)
    flower.connect(section)
    return flower
