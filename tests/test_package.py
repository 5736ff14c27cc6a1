"""What the package shows to the outside: names, commands, files."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import asyndbt

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    module.name
    for module in pkgutil.walk_packages(asyndbt.__path__, "asyndbt.")
    if not any(part.startswith("_") for part in module.name.split("."))
)


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_a_module_offers(name: str) -> None:
    module = importlib.import_module(name)
    offered = {
        member
        for member, value in vars(module).items()
        if not member.startswith("_") and not inspect.ismodule(value)
    }
    assert offered - {"annotations"} == set(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def test_names_are_there_when_they_are_asked_for() -> None:
    assert len(set(asyndbt.__all__)) == len(asyndbt.__all__) > 20
    assert all(getattr(asyndbt, name) is not None for name in asyndbt.__all__)
    assert asyndbt.config.Config is asyndbt.Config
    with pytest.raises(AttributeError, match="module 'asyndbt' has no attribute 'tun'"):
        _ = asyndbt.tun


def test_what_starts_for_every_message_imports_little() -> None:
    heavy = "{'numpy', 'pydantic', 'rich', 'asyncio'}"
    code = f"import sys, asyndbt._relay; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_private_modules_are_imported_by_their_own_room_only() -> None:
    for file in (ROOT / "src" / "asyndbt").rglob("*.py"):
        room = file.relative_to(ROOT / "src" / "asyndbt").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            package, *path = node.module.split(".")
            if package == "asyndbt" and path and path[0] != room:
                inside = [*path[1:], *(name.name for name in node.names)]
                assert not any(part.startswith("_") and part != "__all__" for part in inside), file


def test_the_table_of_rooms_goes_down_as_the_layers_do() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    level = {
        room: number
        for number, layer in enumerate(contract["layers"])
        for room in layer.split(" | ")
    }
    told = re.findall(r"^\| `(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    assert {*told} == {room for room in level if not room.startswith("_")} - {"errors"}
    assert [level[room] for room in told] == sorted(level[room] for room in told)


def test_the_readme_has_two_commands_and_ci_runs_the_second() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    demo, tests = re.findall(r"```bash\n(python3 -m venv .+)\n```", readme)[:2]
    assert demo.endswith("asyndbt demo")
    assert tests.endswith("pytest")
    assert f"\n{tests}\n" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_core_needs_little() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[>=<]", name)[0] for name in project["dependencies"]}
    assert needed == {"numpy", "pydantic", "rich", "threadpoolctl"}


def test_the_package_is_typed_and_small() -> None:
    package = ROOT / "src" / "asyndbt"
    assert (package / "py.typed").exists()
    assert sum(file.stat().st_size for file in package.rglob("*.npz")) <= 4 * 2**20


@pytest.mark.parametrize(
    "page",
    [path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.md")]
    + [
        path.relative_to(ROOT).as_posix()
        for folder in ("docs", "benchmarks")
        for path in (ROOT / folder).glob("*.md")
    ],
)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text("utf-8")):
        if "://" not in target:
            assert (file.parent / target).exists(), target
