"""docs/licences.md has every direct dependency; run this file to write what is installed anew."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
HEAD = (
    "| package | for | allowed | licence, in its own words | of version |\n|---|---|---|---|---|\n"
)


def requirements() -> dict[str, tuple[str, str]]:
    """Return by package what it is for, core or extras, and the versions allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    parts = {"core": project["dependencies"], **project["optional-dependencies"]}
    uses: defaultdict[str, list[str]] = defaultdict(list)
    allowed = {}
    for part, needed in parts.items():
        for each in map(Requirement, needed):
            uses[each.name].append(part)
            allowed[each.name] = str(each.specifier)
    del uses["asyndbt"]
    return {name: (", ".join(uses[name]), allowed[name]) for name in sorted(uses, key=str.lower)}


def installed(name: str) -> PackageMetadata | None:
    try:
        return metadata(name)
    except PackageNotFoundError:
        return None


def licence(package: PackageMetadata) -> str:
    """Return a package's licence: its expression, a short text, its classifiers, or a title."""
    if expression := package.get("License-Expression"):
        return str(expression)
    text = package.get("License", "")
    if text and "\n" not in text:
        return str(text)
    classifiers = package.get_all("Classifier", [])
    named = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License")]
    return ", ".join(named) or str(text).partition("\n")[0]


def rows() -> dict[str, list[str]]:
    """Return the rows of the page by package: for, allowed, licence, version."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    return {name: rest for name, *rest in cells[1:]}


def written() -> Iterator[str]:
    """Yield the table's lines; what is not installed here, or older, is as it was."""
    for name, (parts, versions) in requirements().items():
        stated, version = rows().get(name, ["", "", "", ""])[2:]
        package = installed(name)
        if package and Version(package["Version"]) >= Version(version or "0"):
            stated, version = licence(package), Version(package["Version"]).public
        yield f"| {name} | {parts} | {versions} | {stated} | {version} |\n"


def test_every_direct_dependency_is_there_with_what_it_is_for() -> None:
    assert {name: tuple(row[:2]) for name, row in rows().items()} == requirements(), (
        "run: python tests/test_licences.py"
    )
    assert all(all(row) for row in rows().values())


@pytest.mark.parametrize("name", requirements())
def test_a_licence_is_the_one_that_the_package_states(name: str) -> None:
    package = installed(name)
    *_, stated, version = rows()[name]
    if package is None or Version(package["Version"]).public != version:
        pytest.skip(f"{name} {version} is not installed")
    assert stated == licence(package), "run: python tests/test_licences.py"


if __name__ == "__main__":
    lines = list(written())
    head, _, _ = PAGE.read_text("utf-8").partition(HEAD)
    PAGE.write_text(head + HEAD + "".join(lines), encoding="utf-8", newline="\n")
