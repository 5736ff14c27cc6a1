"""SECURITY.md is about this code and these tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CLAIMS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8"))

CODE_IN_DATA = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
CODE_OF_TEXT = {"__import__", "compile", "eval", "exec"}
CODE_IF_ASKED = {"allow_pickle", "shell", "trust_remote_code"}


def ways_to_run_what_was_read(source: str) -> Iterator[str]:
    """Imports, calls and arguments by which data can become code."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from {name.name.split(".")[0] for name in names} & CODE_IN_DATA
            case ast.ImportFrom(module=str(module)):
                yield from {module.split(".")[0]} & CODE_IN_DATA
            case ast.Call(func=ast.Name(id=name)) if name in CODE_OF_TEXT:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
                yield "torch.load"
            case ast.keyword(arg=str(name), value=ast.Constant(value=value)):
                if name in CODE_IF_ASKED and value is not False:
                    yield name


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "torch.load(file)",
        "read(file, allow_pickle=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(ways_to_run_what_was_read(source))


@pytest.mark.parametrize("file", SOURCES, ids=[str(f.relative_to(ROOT / "src")) for f in SOURCES])
def test_nothing_that_is_read_is_run(file: Path) -> None:
    assert list(ways_to_run_what_was_read(file.read_text("utf-8"))) == []


@pytest.mark.parametrize(("file", "name"), CLAIMS)
def test_the_tests_that_show_what_is_claimed_are_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.M)


def test_every_defence_has_a_test() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    _, _, table = text.partition("## What is defended against")
    rows = [row for row in table.partition("## ")[0].splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 8
    assert all("::" in row for row in rows)
