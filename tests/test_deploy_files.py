"""Containers and units: their commands are the program's, and what they name is there."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli._main import build_parser

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy"
IMAGE = (FOLDER / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SITES = {"north", "south", "west"}


def accepted(command: list[str]) -> bool:
    """Whether the program takes these arguments."""
    return hasattr(build_parser().parse_args(command), "execute")


def unit(part: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FOLDER / f"asyndbt-{part}.service", "utf-8")
    return parser


def test_the_image_takes_what_is_there_and_runs_as_nobody_in_particular() -> None:
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", IMAGE, re.M) for word in line.split()]
    assert all((ROOT / name).exists() for name in copied)
    (extras,) = re.findall(r'"/source\[(.+)\]"', IMAGE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert project["readme"] in copied
    assert re.search(r"^USER [1-9]", IMAGE, re.M)
    assert json.loads(re.findall(r"^ENTRYPOINT (.+)$", IMAGE, re.M)[0]) == ["asyndbt"]


@pytest.mark.parametrize("name", ["coordinator", *sorted(SITES)])
def test_a_service_is_a_command_of_the_program(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    assert accepted(service["command"])
    assert service["command"][0] == ("site" if name in SITES else "coordinator")
    assert service["volumes"] == [f"./{name}:/work"], "nobody has another's folder"
    assert "ports" not in service
    assert service["cap_drop"] == ["ALL"]


def test_keys_are_the_sites_alone_and_the_line_leads_nowhere_else() -> None:
    services = COMPOSE["services"]
    assert set(services) == SITES | {"coordinator"}
    assert {name for name, service in services.items() if "environment" in service} == SITES
    assert services["coordinator"]["networks"] == ["federation"]
    assert COMPOSE["networks"]["federation"] == {"internal": True}


@pytest.mark.parametrize("part", ["coordinator", "site"])
def test_a_unit_starts_a_command_of_the_program(part: str) -> None:
    service = unit(part)["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "asyndbt"
    assert accepted(arguments)
    assert arguments[:2] == [part, "start"]
    assert service["WorkingDirectory"] == service["ReadWritePaths"]
    assert ("EnvironmentFile" in service) == (part == "site")


def test_the_commands_of_the_docs_are_the_programs() -> None:
    page = (ROOT / "docs" / "three-hospitals.md").read_text("utf-8")
    said = re.findall(r"^(?:docker compose (?:run --rm|exec) \w+ )(.+?)(?: +#.*)?$", page, re.M)
    assert len(said) > 3
    assert all(accepted(shlex.split(line.removeprefix("asyndbt "))) for line in said)
