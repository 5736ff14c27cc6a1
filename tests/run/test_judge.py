"""Runs whose answers a second language model judges."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toys import VOCABULARY, ToyServer, rows, toy_model

from asyndbt.baselines import resume_run
from asyndbt.cli import main
from asyndbt.cli._outcome_text import outcome_text
from asyndbt.config import Config
from asyndbt.errors import BudgetError, ConfigError, ModelError
from asyndbt.lm import Answer, AnswerCache, Budget, Gateway, Limits, Usage
from asyndbt.report import build_page
from asyndbt.run import Result, RunDirectory, prepare_run, run_config
from asyndbt.run._estimate import estimate_run
from asyndbt.run._inputs import load_inputs
from asyndbt.run._judge import prepare_judge, site_judge
from asyndbt.scoring._judge import Judge, check_template
from asyndbt.task import Example, Reward, Task
from asyndbt.testing import ScriptedLanguageModel

TEXT = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text("utf-8")
EXAMPLE = re.findall(r"```toml\n# judged.toml\n(.*?)```", TEXT, re.DOTALL)[0]
TASK = Task("Say {x}.", reward=Reward("judge"))
CALLS = 3000


def config_in(
    folder: Path, address: str = "http://localhost:8000/v1", calls: int = CALLS
) -> Config:
    (folder / "words.txt").write_text("\n".join(VOCABULARY))
    for name, found in {"towns": rows(100), "towns-test": rows(30, 1000)}.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in found))
    text = EXAMPLE.replace("http://localhost:8000/v1", address)
    text = text.replace(f"calls = {CALLS}", f"calls = {calls}").replace("judge-model", "toy")
    tables = tomllib.loads(text.replace("my-model", "toy"))
    tables["budget"]["calls"] = 600
    return Config.from_dict(tables, base=folder, name="judged")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    with ToyServer("127.0.0.1", 0) as server:
        config = config_in(tmp_path_factory.mktemp("judged"), server.url)
        return run_config(config, model=toy_model())


def test_tuning_raises_what_the_judge_gives(finished: Result) -> None:
    test = finished.data["metrics"]["test"]
    assert test["tuned"]["mean_reward"] > test["plain"]["mean_reward"] + 0.1


def test_the_judge_has_a_ledger_of_its_own(finished: Result) -> None:
    judge, ledger = finished.data["judge"], finished.data["ledger"]
    assert 0 < judge["ledger"]["calls"] <= ledger["calls"] <= 600
    assert judge["model"]["model"].startswith("openai/127.0.0.1")
    assert f"Judge: {judge['ledger']['calls']:,} calls" in outcome_text(finished, ())
    assert "The judge, openai/" in build_page(finished.directory)


def test_estimates_tell_of_the_judge(tmp_path: Path) -> None:
    found = estimate_run(config_in(tmp_path))
    assert found.least.usage.calls <= found.judgements <= 600


def test_a_budget_that_does_not_cover_the_end_is_told_first(tmp_path: Path) -> None:
    with ToyServer("127.0.0.1", 0) as server:
        with pytest.raises(BudgetError, match=r"task.judge.budget: site 'local' needs up to"):
            run_config(config_in(tmp_path, server.url, calls=50))
        assert not (tmp_path / "runs" / "judged-seed0" / "result.json").exists()


class CountingServer(ToyServer):
    """Counts the requests."""

    count = 0

    def complete(self, body: bytes) -> dict[str, Any]:
        self.count += 1
        return super().complete(body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "{answr}"}, "task.judge.prompt has the field {answr}"),
        ({"budget": {"money": 1.0}}, "task.judge.budget.money cannot be kept to"),
    ],
)
def test_what_is_wrong_with_a_judge_is_told_before_the_first_request(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with CountingServer("127.0.0.1", 0) as server:
        config = config_in(tmp_path, server.url)
        config = config.override({f"task.judge.{key}": value for key, value in changes.items()})
        for told in (run_config, estimate_run):
            with pytest.raises(ConfigError, match=re.escape(message)):
                told(config)
        assert server.count == 0


def test_another_judge_is_probed_anew_and_all_probes_count(tmp_path: Path) -> None:
    """As where a first try ended before the run began, and another judge takes its place."""
    directory = RunDirectory(tmp_path)
    with CountingServer("127.0.0.1", 0) as server:
        config = config_in(tmp_path, server.url)
        assert config.task.judge is not None
        inputs, lm = load_inputs(config), config.task.judge.lm
        for model in ("toy", "other", "other"):
            changed = config.override({"task.judge.lm": {**lm, "model": model}})
            found = prepare_judge(changed, inputs, directory)
            assert found is not None
            record = directory.read_json("judge.json")
            assert record is not None
            assert f"/{model}/" in record["model"]
            assert found.record() == record
            assert record["probe"]["sent"] == server.count


def test_a_check_tells_what_it_has_asked_of_the_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with CountingServer("127.0.0.1", 0) as server:
        config_in(tmp_path, server.url).dump(tmp_path / "run.toml")
        assert main(["check", str(tmp_path / "run.toml")]) == 0
        told = re.findall(r"Asked.*: (\d+) requests?,", capsys.readouterr().out)
        assert len(told) == 2
        assert sum(map(int, told)) == server.count


def test_sites_on_machines_of_their_own_keep_to_the_judges_budget_together(
    tmp_path: Path,
) -> None:
    """Each has paid for a probe of its own."""
    with ToyServer("127.0.0.1", 0) as server:
        config, directory = config_in(tmp_path, server.url), RunDirectory(tmp_path / "run")
        setup = prepare_run(config, directory, model=toy_model())
        site, probe = setup.sites["local"], setup.judge
        assert probe is not None
        site.close()
        for here in (1, 3):
            judge = site_judge(
                config, probe, site.prompts, directory, site.needs, sites=3, here=here
            )
            assert judge is not None
            judge.gateway.cache.close()
            share, probes = judge.gateway.budget.limits.calls or 0, 3 // here
            assert CALLS - 3 < 3 * share + probes * probe.probe.usage.calls <= CALLS


def judge_of(reply: str, template: str = "{expected} {answer}?", calls: int = 100) -> Judge:
    model = ScriptedLanguageModel({"": reply}, is_remote=False)
    gateway = Gateway(model, AnswerCache(":memory:"), Budget(Limits(calls=calls)))
    return Judge(gateway, template, 10, TASK)


def said(text: str) -> Answer:
    return Answer(None, text, Usage(calls=1))


@pytest.mark.parametrize(
    ("reply", "reward"),
    [("7", 0.7), ("Score: 10", 1.0), ("I say 8 out of 10.", 0.8), ("2.5/10", 0.25), ("10/10", 1.0)],
)
def test_the_number_of_a_reply_is_the_reward(reply: str, reward: float) -> None:
    found = asyncio.run(judge_of(reply).rewards([Example({"x": "a"}, "b")], [said("c")]))
    assert found.tolist() == [pytest.approx(reward)]


@pytest.mark.parametrize("reply", ["7 or 8", "good", "11", "", "-3", "7-8", "v1.2.3"])
def test_a_reply_without_one_number_in_range_is_no_reward(reply: str) -> None:
    found = asyncio.run(judge_of(reply).rewards([Example({"x": "a"}, "b")], [said("c")]))
    assert np.isnan(found).all()


def test_answers_that_failed_are_not_judged() -> None:
    judge, example = judge_of("7"), Example({"x": "a"}, "b")
    found = asyncio.run(judge.rewards([example, example], [None, said("{x}")]))
    assert np.isnan(found[0])
    assert found[1] == 0.7
    assert judge.gateway.ledger().spent.calls == 1


def test_a_judge_that_gives_no_numbers_stops_the_run() -> None:
    examples = [Example({"x": str(k)}, str(k)) for k in range(40)]
    with pytest.raises(ModelError, match="40 replies of the judge in a row"):
        asyncio.run(judge_of("well").rewards(examples, [said("c")] * 40))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{answr}", "did you mean 'answer'"),
        ("{expected}", "does not show"),
        ("{", "plain brace"),
        ("{answer:d}", "write just {answer}"),
        ("{answer!r}", "write just {answer}"),
    ],
)
def test_a_template_that_cannot_be_filled(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge_of("7", template)


def test_a_field_that_a_judge_would_not_see_is_told() -> None:
    task = Task("Is {answer} right for {question}?", reward=Reward("judge"))
    with pytest.raises(ConfigError, match="the instruction has a field 'answer' too"):
        check_template("{question} {answer}", task)


def test_the_judges_table_is_checked_like_the_models(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    for key, value, message in (
        ("task.judge.lm", {"provider": "openai"}, r"task.judge.lm = model is missing"),
        ("task.reward", "exact", r'task.judge has no effect with reward "exact"'),
        ("task.judge", None, "task.judge is missing"),
        ("task.judge.lm.cache", "x.sqlite", "task.judge.lm.cache has no effect on a judge"),
    ):
        with pytest.raises(ConfigError, match=message):
            config.override({key: value})
    assert config.task.judge is not None
    assert dict(config.task.judge.model.options)["max_tokens"] == 256
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config


def test_a_run_with_more_budget_goes_on_with_what_was_judged(tmp_path: Path) -> None:
    with ToyServer("127.0.0.1", 0) as server:
        config = config_in(tmp_path, server.url).override({"budget.calls": 300})
        first = run_config(config, model=toy_model()).data["judge"]["ledger"]["calls"]
        budget = {"calls": 400}
        data = resume_run(config.run.dir, model=toy_model(), budget=budget).data
    assert first < data["judge"]["ledger"]["calls"] <= data["ledger"]["calls"]
    cache = AnswerCache(config.run.dir / "sites" / "local" / "judgements.sqlite", "local")
    with cache:
        paid = cache.total().calls
    assert data["judge"]["ledger"]["calls"] == paid + data["judge"]["model"]["probe"]["calls"]


def test_more_budget_for_the_model_alone_does_not_help_where_the_judges_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ToyServer("127.0.0.1", 0) as server:
        config = config_in(tmp_path, server.url).override({"budget.calls": 300})
        run_config(config, model=toy_model())
        monkeypatch.setattr(Judge, "affords", lambda judge, answers: False)
        with pytest.raises(BudgetError, match=r"task\.judge\.budget is used up"):
            resume_run(config.run.dir, model=toy_model(), budget={"calls": 400})


def test_requests_to_a_judge_that_were_lost_do_not_keep_a_run_from_being_resumed(
    tmp_path: Path,
) -> None:
    """Where its budget was just enough at the beginning."""
    with ToyServer("127.0.0.1", 0) as server:
        config, directory = config_in(tmp_path, server.url), RunDirectory(tmp_path / "run")
        setup = prepare_run(config, directory, model=toy_model())
        site, handle = setup.sites["local"], setup.judge
        site.close()
    assert handle is not None
    needs = site.needs
    least = needs.evaluation.calls + needs.looks + needs.step_prompts
    exact = config.override({"task.judge.budget.calls": least + handle.probe.usage.calls})
    with AnswerCache(directory.site("local") / "judgements.sqlite", "local") as cache:
        cache.attempts.begin(b"key", Usage(calls=1))
    found = site_judge(exact, handle, site.prompts, directory, needs, sites=1, here=1)
    assert found is not None
    found.gateway.cache.close()
    assert found.gateway.budget.spent.calls == 1
