"""The pages as a site, web/: whole, and buildable where its tools are installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "web" / "pages"
SETTINGS = (ROOT / "web" / "mkdocs.yml").read_text("utf-8")


def test_every_page_is_in_the_navigation_and_there() -> None:
    named = re.findall(r"^ +- .+: (\S+\.md)$", SETTINGS, re.M)
    assert len(set(named)) == len(named)
    assert [page for page in named if not (PAGES / page).is_file()] == []
    written = {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")}
    written |= {file.name for file in ROOT.glob("*.md")}
    assert written <= set(named)


def test_every_room_is_in_the_reference() -> None:
    shown = set(re.findall(r"^::: (\S+)$", (PAGES / "api.md").read_text("utf-8"), re.M))
    rooms = {
        ".".join(file.parent.relative_to(ROOT / "src").parts)
        for file in (ROOT / "src" / "asyndbt").rglob("__init__.py")
    }
    # `cli` is a command; the providers' own packages are reached by their names.
    public = {room for room in rooms if "._" not in room and room != "asyndbt.cli"}
    assert {room for room in public if not room.startswith("asyndbt.lm.providers.")} == shown


def test_the_first_configuration_of_ones_own_reads_its_table(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "start.md").read_text("utf-8")
    table, settings = (re.search(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("csv", "toml"))
    assert table
    assert settings
    config = Config.from_dict(tomllib.loads(settings[1]), base=tmp_path)
    assert Path(str(config.data.train)) == tmp_path / "notes.csv"
    heading, first, *_ = table[1].splitlines()
    used: list[Any] = ["note", config.data.label_column, config.data.site_column]
    assert heading.split(",") == used
    assert first.rsplit(",", 2)[1] in config.task.labels


@pytest.mark.skipif(not importlib.util.find_spec("material"), reason="asyndbt[docs]")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    build = ["build", "--strict", "-q", "-f", str(ROOT / "web" / "mkdocs.yml"), "-d", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "mkdocs", *build], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "api.html").read_text("utf-8")
    assert all(name in page for name in ("asyndbt.tune", "asyndbt.lm.LanguageModel"))
