"""``asyndbt propose``: hints of one site, for a person to read, and pooled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from asyndbt.cli import main
from asyndbt.config import LMConfig, format_table
from asyndbt.lm import Prompt
from asyndbt.testing import ScriptedLanguageModel

Capture = pytest.CaptureFixture[str]
HINTS = ("1. Mind negations.", "2. It was the best meal of all", "3. Judge the whole text.")


def answer(prompt: Prompt, labels: Sequence[str]) -> Sequence[float] | str:
    return "\n".join(HINTS) if prompt.most_tokens is not None else (-0.1, -2.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sites' rows with a configuration, and north's own file for a run across machines."""
    rows = [
        {"text_a": f"it was the best meal of all, number {k}", "label": str(k % 2), "site": site}
        for site in ("north", "south")
        for k in range(60)
    ]
    for name, some in {"all": rows, "north": rows[:60]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in some))
    tables = {
        "task": {"instruction": "Is {text_a} praise?", "labels": {"0": "no", "1": "yes"}},
        "budget": {"per_site": {"calls": 500}},
    }
    local = {**tables, "data": {"train": "all.jsonl", "site_column": "site"}}
    flower = {"engine": "flower", "sites": ["north", "south"]}
    shared = {**tables, "method": {"vocabulary": "vocabulary.txt"}, "federation": flower}
    own = {
        "site": {"name": "north", "shared": "shared.toml", "state": "state"},
        "coordinator": {"address": "127.0.0.1:9092"},
        "data": {"train": "north.jsonl"},
    }
    for name, content in {"run": local, "shared": shared, "site": own}.items():
        (tmp_path / f"{name}.toml").write_text(format_table(content))
    monkeypatch.setattr(LMConfig, "make_model", lambda lm: ScriptedLanguageModel(answer))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("arguments", [["run.toml", "--site", "south"], ["site.toml"]])
def test_hints_without_copied_ones_are_written_for_a_person(
    folder: Path, arguments: list[str], capsys: Capture
) -> None:
    assert main(["propose", *arguments, "-o", "hints.txt"]) == 0
    kept = "Mind negations.\nJudge the whole text.\n"
    assert (folder / "hints.txt").read_text("utf-8") == kept
    said = capsys.readouterr().out
    assert "hints.txt: 2 hints, for " in said
    assert "1 more repeat texts of the site and were left out" in said
    assert not (folder / "runs").exists()


def test_a_file_that_somebody_may_have_cut_is_not_overwritten(
    folder: Path, capsys: Capture
) -> None:
    (folder / "hints.txt").write_text("Mind negations.\n")
    assert main(["propose", "site.toml", "-o", "hints.txt"]) == 1
    assert "hints.txt exists, and may have been read" in capsys.readouterr().err
    assert (folder / "hints.txt").read_text() == "Mind negations.\n"


def test_files_of_sites_become_a_vocabulary(folder: Path, capsys: Capture) -> None:
    (folder / "a.txt").write_text("Mind negations.\nTrust nobody.\n")
    (folder / "b.txt").write_text("Mind the negations.\nRead it twice.\n")
    assert main(["propose", "--pool", "a.txt", "b.txt", "-o", "vocabulary.txt"]) == 0
    pooled = (folder / "vocabulary.txt").read_text("utf-8").splitlines()
    assert pooled == ["Mind negations.", "Read it twice.", "Trust nobody."]
    assert 'vocabulary = "vocabulary.txt"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run.toml"], "name a site; the data have: 'north', 'south'"),
        (["run.toml", "--site", "east"], "there is no site 'east'; the data have"),
        (["shared.toml"], "give the site's own file, site.toml"),
        (["none.toml"], "none.toml: no such file"),
        ([], "give a configuration, or --pool and the files of the sites"),
        (["--pool", "none.txt"], "none.txt"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path, arguments: list[str], message: str, capsys: Capture
) -> None:
    assert main(["propose", "-o", "hints.txt", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "hints.txt").exists()


def test_hints_do_not_exceed_the_budget(folder: Path, capsys: Capture) -> None:
    text = (folder / "run.toml").read_text().replace("500", "10")
    (folder / "run.toml").write_text(text)
    assert main(["propose", "run.toml", "--site", "north", "-o", "hints.txt"]) == 1
    assert "[budget]: hints need up to " in capsys.readouterr().err
