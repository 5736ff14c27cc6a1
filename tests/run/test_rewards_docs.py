"""The worked examples of docs/rewards.md, on a toy model."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from tests.toys import VOCABULARY, calls, rows, sums, toy_model

from asyndbt.cli._outcome_text import accuracy_table
from asyndbt.config import Config
from asyndbt.lm import Prompt
from asyndbt.run import run_config
from asyndbt.testing import ScriptedLanguageModel

TEXT = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text("utf-8")
TABLES = {
    name: tomllib.loads(body)
    for name, body in re.findall(r"```toml\n# (\w+)\.toml\n(.*?)```", TEXT, re.DOTALL)
}
REWARDED = [name for name, tables in TABLES.items() if "reward" in tables["task"]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hold the files that the examples name."""
    (tmp_path / "words.txt").write_text("\n".join(VOCABULARY))
    for name, found in {
        "towns": rows(100),
        "towns-test": rows(60, 1000),
        "sums": sums(100),
        "sums-test": sums(60, 1000),
        "calls": calls(100),
        "calls-test": calls(60, 1000),
        "many": [{**row, "night": "yes" if k % 2 else "no"} for k, row in enumerate(rows(100))],
    }.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in found))
    for name, code in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", TEXT, re.DOTALL):
        module = ModuleType(name)
        exec(code, vars(module))
        monkeypatch.setitem(sys.modules, name, module)
    return tmp_path


@pytest.mark.parametrize("name", [name for name in REWARDED if name != "judged"])
def test_an_example_raises_the_mean_reward(folder: Path, name: str) -> None:
    config = Config.from_dict(TABLES[name], base=folder, name=name)
    test = run_config(config, model=toy_model()).data["metrics"]["test"]
    best = max(test[kind]["mean_reward"] for kind in ("plain", "random_icl"))
    assert test["tuned"]["mean_reward"] > best + 0.2


def test_one_label_of_several(folder: Path) -> None:
    config = Config.from_dict(TABLES["night"], base=folder).override({"lm.feedback": "text"})
    model = ScriptedLanguageModel(_yes_or_no, name="labels")
    assert run_config(config, model=model).data["stop_reason"]


def _yes_or_no(prompt: Prompt, labels: Sequence[str]) -> str:
    return "yes" if "Anna" in prompt.query else "no"


def test_costs_move_the_choice_to_the_lesser_evil(folder: Path) -> None:
    weighed = Config.from_dict(TABLES["costs"], base=folder, name="weighed")
    plain = weighed.override({"task.costs": None, "run.dir": folder / "plain"})
    found = [
        run_config(config, model=ScriptedLanguageModel(_doctor, name="doctor"))
        for config in (weighed, plain)
    ]
    assert [result.fragment for result in found] == [["loudly"], ["briefly"]]
    tuned, without = (result.data["metrics"]["test"]["tuned"] for result in found)
    assert tuned["accuracy"] < without["accuracy"]
    misses = 1 - without["accuracy"]  # all that the other prompt has wrong
    assert tuned["mean_cost"] < 5 * misses
    assert "loss" not in tuned
    assert "Mean cost of an answer: plain" in accuracy_table(found[0].data)
    assert found[0].prompt().task.costs == ((0.0, 1.0), (5.0, 0.0))


def _doctor(prompt: Prompt, labels: Sequence[str]) -> str:
    """Say no often, and all the more yes if told to be loud."""
    number = int(re.findall(r"call (\d+)", prompt.query)[0])
    if "loudly" in prompt.query:
        return "no" if number % 2 == 0 and number % 5 < 2 else "yes"
    misses = number % 5 == 1 if "briefly" in prompt.query else number % 5 != 0
    return "yes" if number % 2 and not misses else "no"


def test_every_kind_of_reward_has_an_example() -> None:
    kinds = {TABLES[name]["task"]["reward"].partition(":")[0] for name in REWARDED}
    assert kinds == {"exact", "token_f1", "regex", "titles", "judge"}
