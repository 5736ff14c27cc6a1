"""Two runs on one page."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from asyndbt.cli import main
from asyndbt.prompt import TunedPrompt
from asyndbt.report import build_comparison


def texts(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page)).replace("\N{NO-BREAK SPACE}", " ")


def without(tag: str, html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", re.sub(f"<{tag}>.*?</{tag}>", "", html, flags=re.S)))


@pytest.fixture
def other(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A run with another setting, other figures, and one prompt with other words."""
    run = shutil.copytree(runs["three"], tmp_path / "other")
    config = (run / "config.toml").read_text("utf-8")
    (run / "config.toml").write_text(config.replace("draws = 3", "draws = 17"), "utf-8")
    result = json.loads((run / "result.json").read_text("utf-8"))
    result["ledger"]["calls"] = 98_765
    result["metrics"]["test"]["tuned"] = {"accuracy": 0.123, "interval": [0.1, 0.2], "n": 30}
    (run / "result.json").write_text(json.dumps(result), "utf-8")
    file = run / "sites" / "meals" / "prompt.json"
    prompt = TunedPrompt.load(file)
    replace(prompt, fragment=("quite", *prompt.fragment[1:])).save(file)
    return run


def test_figures_settings_and_prompts_of_both_are_there(runs: dict[str, Path], other: Path) -> None:
    pair = runs["three"], other
    page = build_comparison(*pair)
    for run in pair:
        result = json.loads((run / "result.json").read_text("utf-8"))
        share = 100 * result["metrics"]["test"]["tuned"]["accuracy"]
        assert f"{share:.1f} % (" in texts(page)
        assert f"{result['ledger']['calls']:,}" in texts(page)
    assert "Keys of the configurationthreeothermethod.draws317The tuned prompts" in texts(page)
    assert str(runs["three"].parent) not in page
    found = re.findall(r"<pre[^>]*>(.*?)</pre>", page, flags=re.S)
    prompts = [
        [TunedPrompt.load(file).text_template() for file in sorted(run.glob("sites/*/prompt.json"))]
        for run in pair
    ]
    assert [without("ins", each) for each in found] == prompts[0]
    assert [without("del", each) for each in found] == prompts[1]


def test_a_run_beside_itself_differs_in_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(runs["three"], tmp_path / "copy")
    page = build_comparison(runs["three"], copy)
    assert "<ins>" not in page
    assert "<del>" not in page
    assert "Settings that differ</h2><p>None.</p>" in page


def test_settings_that_are_paths_show_their_last_part(runs: dict[str, Path], other: Path) -> None:
    config = (other / "config.toml").read_text("utf-8")
    moved = config.replace("/train.jsonl", "/elsewhere/other.jsonl")
    (other / "config.toml").write_text(moved, "utf-8")
    page = build_comparison(runs["three"], other)
    assert "data.train…/train.jsonl…/other.jsonl" in texts(page)
    assert "accuracies may be of other examples" in page


@pytest.mark.parametrize("kind", ["apart", "interrupted"])
def test_what_a_run_lacks_is_left_out(runs: dict[str, Path], kind: str) -> None:
    page = build_comparison(runs[kind], runs["three"])
    assert f"{kind} and three" in page
    assert "The tuned prompts" not in page
    assert "Accuracy on test data" in page


def test_the_command_writes_one_page_of_both(
    runs: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(runs["three"]), str(runs["apart"])]) == 0
    assert capsys.readouterr().out == "three-and-apart-report.html\n"
    assert main(["report", str(runs["three"]), "nowhere"]) == 1
    assert "nowhere is not the directory of a run" in capsys.readouterr().err
