"""Whole runs of tasks with a reward, on a toy model that answers in words."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.toys import VOCABULARY, ToyServer, rows, toy_model, toy_reply

from asyndbt.baselines import methods, run_method
from asyndbt.cli import main
from asyndbt.config import Config
from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.export import export_prompt
from asyndbt.lm import Prompt
from asyndbt.report import build_page
from asyndbt.run import Result, run_config
from asyndbt.run._estimate import estimate_run
from asyndbt.serving import PromptServer
from asyndbt.study import StudyFile
from asyndbt.testing import ScriptedLanguageModel


def write(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def config_in(folder: Path, **changes: dict[str, Any]) -> Config:
    (folder / "words.txt").write_text("\n".join(VOCABULARY))
    tables: dict[str, Any] = {
        "task": {
            "instruction": "Which town is named in {text}?",
            "reward": "token_f1",
            "answer": "town",
        },
        "data": {
            "train": write(folder / "train.jsonl", rows(80)),
            "test": write(folder / "test.jsonl", rows(60, 1000)),
            "pool_per_class": 16,
            "train_per_class": 30,
        },
        "method": {
            "vocabulary": str(folder / "words.txt"),
            "fragment_length": 2,
            "draws": 4,
            "batch_size": 4,
            "random_icl_draws": 2,
        },
        "budget": {"calls": 700},
        "run": {"dir": str(folder / "run")},
    }
    for name, table in changes.items():
        tables[name] = {**tables.get(name, {}), **table}
    return Config.from_dict(tables)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run_config(config_in(tmp_path_factory.mktemp("rewards")), model=toy_model())


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = ModuleType("grader")
    monkeypatch.setitem(sys.modules, "grader", module)
    return module


def test_tuning_raises_the_mean_reward(finished: Result) -> None:
    test = finished.data["metrics"]["test"]
    assert test["tuned"]["mean_reward"] > test["random_icl"]["mean_reward"] + 0.2
    assert test["tuned"]["loss"] == pytest.approx(1 - test["tuned"]["mean_reward"], abs=0.006)
    assert "accuracy" not in json.dumps(finished.data)


@pytest.mark.parametrize("reward", ["token_f1", "judge"])
def test_hints_are_asked_for_with_answers_that_could_be_better(tmp_path: Path, reward: str) -> None:
    """Nor may a hint name an expected answer; the judge is asked nothing for them."""
    asked: list[str] = []

    def reply(prompt: Prompt, labels: Sequence[str]) -> str:
        if prompt.most_tokens is None:
            return toy_reply(prompt, labels)
        asked.append(prompt.text)
        return "Answer exactly.\nAnswer briefly.\nIt is Lyon.\nAnswer mildly."

    with ToyServer("127.0.0.1", 0) as server:
        judge = {
            "prompt": "Say, from 0 to 10. A good title: {expected}\nThe title to judge: {answer}",
            "lm": {"provider": "openai", "model": "toy", "base_url": server.url},
            "budget": {"calls": 3000},
        }
        task = {"reward": reward, "judge": judge} if reward == "judge" else {}
        config = config_in(tmp_path, method={"vocabulary": "propose"}, task=task)
        result = run_config(config, model=ScriptedLanguageModel(reply, name="toy"))
    assert len(asked) == 2
    assert re.search(r"text: .* took train .*\nright answer: .*\nits answer: .*", asked[0])
    assert result.data["hints"]["sites"]["local"]["copied"] == 1
    assert result.data["hints"]["vocabulary"] == 3
    assert result.data["ledger"]["calls"] <= 700


def test_demonstrations_show_the_expected_answers(finished: Result) -> None:
    (shown,) = finished.prompt().demonstrations
    text = finished.prompt().render(text="Ben took train 1 to Graz at night").text
    assert f"Answer: {shown.label}\n" in text
    again = Result(finished.directory).prompt()
    assert again == finished.prompt()
    assert json.loads((finished.directory / "sites/local/prompt.json").read_text())["format"] == (
        "asyndbt-prompt/2"
    )


def test_predict_gives_the_answer_and_its_reward_where_it_can_be_told(finished: Result) -> None:
    row, other = rows(2, 2000)
    known, unknown = finished.predict([row, {"text": other["text"]}])
    assert known == {**row, "prediction": "New York", "reward": 1.0}
    assert set(unknown) == {"text", "prediction"}
    with pytest.raises(DataError, match="there is a column 'reward' already"):
        finished.predict([{**row, "reward": 1}])


def test_pages_and_exports_speak_of_rewards(finished: Result) -> None:
    page = build_page(finished.directory)
    assert "has a mean reward of" in page
    assert "Mean reward on test data" in page
    assert "ccuracy" not in page
    assert "1 minus the reward of drawn prompts" in page
    assert "Mean reward on test data" in finished._repr_html_()
    assert "{text}" in export_prompt(finished, "openai").content
    with pytest.raises(ConfigError, match="reads the answer as a label"):
        export_prompt(finished, "dspy")


def test_a_page_has_no_other_labels_to_show(finished: Result) -> None:
    with pytest.raises(ConfigError, match="asyndbt predict tells the reward of every row"):
        build_page(finished.directory, errors=True)


def test_sites_tune_together(tmp_path: Path) -> None:
    config = config_in(
        tmp_path,
        data={"partition": {"sites": 3}, "pool_per_class": 6, "train_per_class": 8},
        federation={"engine": "virtual", "quorum": 2},
        budget={"calls": None, "per_site": {"calls": 300}},
    )
    result = run_config(config, model=toy_model())
    assert result.sites == ["site-1", "site-2", "site-3"]
    test = result.data["metrics"]["test"]
    assert test["tuned"]["mean_reward"] > test["plain"]["mean_reward"]


def test_a_function_of_ones_own(tmp_path: Path, grader: ModuleType) -> None:
    grader.short = lambda example, answer: 1.0 / len(answer.split())
    config = config_in(tmp_path, task={"reward": "grader:short"}, budget={"calls": 400})
    result = run_config(config, model=toy_model())
    (row,) = result.predict(rows(1, 2000))
    assert row["reward"] == round(1.0 / len(row["prediction"].split()), 6)
    estimate = estimate_run(config.override({"lm.provider": "openai", "lm.model": "m"}), 0.1)
    assert estimate.least.usage.calls <= 400


def test_a_reward_that_fails_ends_the_run_with_its_row(tmp_path: Path, grader: ModuleType) -> None:
    grader.odd = lambda example, answer: 2.0
    with pytest.raises(
        DataError, match=r"train.jsonl line \d+: the reward 'grader:odd' returned 2"
    ):
        run_config(config_in(tmp_path, task={"reward": "grader:odd"}), model=toy_model())


def test_a_model_that_says_nothing_is_told(tmp_path: Path) -> None:
    silent = ScriptedLanguageModel({"": " "}, name="silent")
    with pytest.raises(ModelError, match="40 answers in a row are blank"):
        run_config(config_in(tmp_path), model=silent)


@pytest.mark.parametrize("method", sorted(name for name, m in methods().items() if m.needs_labels))
def test_methods_that_read_labels_say_so(tmp_path: Path, method: str) -> None:
    with pytest.raises(ConfigError, match=f"method '{method}' reads labels"):
        run_method(method, config_in(tmp_path), model=toy_model())


@pytest.mark.parametrize("method", ["manual", "random-icl", "random-search", "bdpl", "fedpob"])
def test_methods_that_need_losses_alone_work(tmp_path: Path, method: str) -> None:
    result = run_method(method, config_in(tmp_path), model=toy_model())
    assert result.data["metrics"]["test"]["tuned"]["n"] == 60


def test_the_pocket_model_has_no_words_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the pocket model answers with one of the labels"):
        run_config(config_in(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {"labels": {"0": "no", "1": "yes"}}}, "task.labels stands beside task.reward"),
        ({"task": {"reward": "exakt"}}, 'task.reward = "exakt" is unknown.*did you mean "exact"'),
        ({"task": {"reward": "regex"}}, "task.pattern is missing"),
        ({"task": {"pattern": "x"}}, 'task.pattern has no effect with reward "token_f1"'),
        ({"lm": {"feedback": "logprobs"}}, 'lm.feedback = "logprobs" is about labels'),
        ({"lm": {"provider": "huggingface", "model": "m"}}, "lm.provider .*gives no texts"),
        ({"data": {"label_column": "x"}}, "data.label_column is about labels"),
        ({"method": {"loss": "error"}}, "method.loss is about labels"),
    ],
)
def test_keys_that_do_not_go_with_a_reward(
    tmp_path: Path, changes: dict[str, dict[str, Any]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_in(tmp_path, **changes)


def test_an_expected_answer_needs_a_reward() -> None:
    task = {"instruction": "{text}?", "labels": {"0": "no", "1": "yes"}, "answer": "town"}
    with pytest.raises(ConfigError, match=r"task.answer has no effect without task.reward"):
        Config.from_dict({"task": task, "data": {"train": "t"}, "budget": {"calls": 9}})


def test_defaults_fit_answers_in_words(tmp_path: Path) -> None:
    lm = config_in(tmp_path, lm={"provider": "openai", "model": "m"}).lm
    assert (lm.feedback, dict(lm.options)["max_tokens"]) == ("text", 256)


def test_a_resolved_configuration_reads_back(finished: Result) -> None:
    assert finished.config.to_toml() == (finished.directory / "config.toml").read_text()


def test_studies_compare_accuracies() -> None:
    with pytest.raises(ConfigError, match=r"base.task.reward is about more"):
        StudyFile.from_dict(
            {
                "study": {"methods": ["asyndbt"], "tasks": ["pocket:sentiment-fans"]},
                "base": {"task": {"reward": "exact"}},
            }
        )


def test_an_endpoint_is_checked_tuned_for_asked_and_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ToyServer("127.0.0.1", 0) as server:
        config = config_in(
            tmp_path,
            lm={"provider": "openai", "model": "toy", "base_url": server.url},
            data={"test": write(tmp_path / "few.jsonl", rows(8, 1000))},
            budget={"calls": 120},
        )
        config.dump(tmp_path / "run.toml")
        assert main(["check", str(tmp_path / "run.toml")]) == 0
        assert main(["estimate", str(tmp_path / "run.toml")]) == 0
        assert main(["run", str(tmp_path / "run.toml"), "--quiet"]) == 0
        told = capsys.readouterr().out
        assert "mean reward on test data" in told
        assert "accuracy" not in told
        file = write(tmp_path / "new.jsonl", [*rows(1, 2000), {"text": rows(1)[0]["text"]}])
        assert main(["predict", str(config.run.dir), "--input", file]) == 0
        known, unknown = map(json.loads, capsys.readouterr().out.splitlines())
        assert known["reward"] <= 1.0
        assert "reward" not in unknown
        with PromptServer(Result(config.run.dir)) as prompts:
            request = {"model": "local", "messages": [{"role": "user", "content": known["text"]}]}
            body = prompts.complete(json.dumps(request).encode())
    assert isinstance(body, dict)
    assert body["choices"][0]["message"]["content"] == known["prediction"]
