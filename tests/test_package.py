"""What the package shows to the outside: names, commands, files."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import asyndbt

ROOT = Path(__file__).parents[1]
ROOMS = (
    "baselines",
    "config",
    "federation",
    "lm",
    "observers",
    "optim",
    "pocket",
    "prompt",
    "report",
    "run",
    "study",
    "task",
)


def test_the_public_surface_is_exactly_this() -> None:
    assert asyndbt.__all__ == [
        "AsyndbtError",
        "Config",
        "Event",
        "Observer",
        "Result",
        "TunedPrompt",
        "load_config",
        "resume_run",
        "tune",
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_names_what_it_shows(room: str) -> None:
    module = importlib.import_module(f"asyndbt.{room}")
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_nothing_below_imports_anything_above() -> None:
    """Data flows down: cli, study or report, baselines, deploy, run, federation, and so on."""
    top = {"run", "deploy", "baselines", "report", "observers", "study", "cli"}
    above = {
        "optim": {"pocket", "lm", "task", "prompt", "config", "federation", *top},
        "pocket": {"lm", "task", "prompt", "config", "federation", *top},
        "lm": {"task", "prompt", "config", "federation", *top},
        "task": {"prompt", "config", "federation", *top},
        "prompt": {"config", "federation", *top},
        "config": {"federation", *top},
        "federation": {"config", *top},
        "run": top - {"run"},
        "deploy": {"cli", "report", "observers", "baselines", "study"},
        "baselines": {"cli", "report", "observers", "study", "deploy"},
        "report": {"study", "baselines", "observers", "cli", "deploy"},
        "observers": {"study", "baselines", "report", "cli", "deploy"},
        "study": {"report", "observers", "cli", "deploy"},
    }
    for room, forbidden in above.items():
        for file in (ROOT / "src" / "asyndbt" / room).rglob("*.py"):
            used = set(re.findall(r"^\s*from asyndbt\.(\w+)", file.read_text("utf-8"), re.M))
            assert not used & forbidden, file


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
