"""Runs whose slots may also choose the example nearest to the query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asyndbt.baselines import resume_run, run_method
from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.export import FORMATS, export_prompt
from asyndbt.lm import Prompt
from asyndbt.prompt import Nearest
from asyndbt.report import build_page
from asyndbt.run import Event, Result, run_config, wrong_answers
from asyndbt.run._inputs import load_inputs
from asyndbt.serving import PromptServer
from asyndbt.testing import ScriptedLanguageModel

FRUITS = {"good": ("apple", "pear", "plum", "fig"), "bad": ("nettle", "thorn", "rust", "mould")}
"""What texts are about, by label."""


def thing(block: str) -> str:
    return next(word for words in FRUITS.values() for word in words if word in block)


def copying(prompt: Prompt, labels: Sequence[str]) -> list[float]:
    """Answers with the label of a demonstration about the same thing, and else with "bad"."""
    known = {thing(block): label for block, label in prompt.shots}
    answer = known.get(thing(prompt.query), "bad")
    return [-0.1 if label == answer else -3.0 for label in labels]


def rows(part: str, count: int) -> list[dict[str, str]]:
    return [
        {"text": f"{word} {part}{number}{word}", "label": label}
        for number in range(count)
        for label, words in FRUITS.items()
        for word in words
    ]


def config(folder: Path, name: str = "run", **method: Any) -> Config:
    """A run in which no fixed demonstrations answer everything, and the nearest ones do."""
    tables: dict[str, Any] = {
        "task": {"instruction": 'Is "{text}" good?', "labels": {"good": "good", "bad": "bad"}},
        "data": {"pool_per_class": 12, "train_per_class": 8},
        "method": {
            "neighbours": ["tfidf"],
            "mode": "demonstrations",
            "draws": 4,
            "batch_size": 4,
            "random_icl_draws": 2,
            "iterations": 30,
            **method,
        },
        "budget": {"calls": 700, "test_share": 1.0},
        "run": {"dir": str(folder / name), "seed": 1},
    }
    for part, count in (("train", 6), ("validation", 2), ("test", 2)):
        file = folder / f"{part}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows(part, count)))
        tables["data"][part] = str(file)
    return Config.from_dict(tables)


def model() -> ScriptedLanguageModel:
    return ScriptedLanguageModel(copying)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Prompt]]:
    asked = model()
    result = run_config(config(tmp_path_factory.mktemp("finished")), model=asked)
    return Result(result.directory, model()), asked.asked


def test_the_policy_learns_that_the_nearest_helps(finished: tuple[Result, list[Prompt]]) -> None:
    result, asked = finished
    assert result.data["metrics"]["test"]["tuned"]["accuracy"] == 1.0
    assert result.data["metrics"]["test"]["random_icl"]["accuracy"] < 0.8
    good, _ = result.prompt().demonstrations
    assert isinstance(good, Nearest), "the answer without a demonstration is right for the others"
    assert good.label == "good"
    for prompt in asked:
        assert len(set(prompt.shots)) == len(prompt.shots)


def test_what_is_saved_predicts_what_was_scored(finished: tuple[Result, list[Prompt]]) -> None:
    result, asked = finished
    test = rows("test", 2)
    scored = {prompt.text for prompt in asked}
    prompts = result.prompt().render_all({"text": row["text"]} for row in test)
    assert {prompt.text for prompt in prompts} <= scored
    (one,) = {len(prompt.shots) for prompt in prompts}
    assert one == 2
    unlabelled = [{"text": row["text"]} for row in test]
    predicted = [row["prediction"] for row in result.predict(unlabelled)]
    assert predicted == [row["label"] for row in test]
    with PromptServer(result) as server:
        for row in test[:4]:
            body = {"model": "local", "messages": [{"role": "user", "content": row["text"]}]}
            answer: Any = server.complete(json.dumps(body).encode())
            assert answer["choices"][0]["message"]["content"] == row["label"]
    errors = wrong_answers(result)["local"]
    assert (errors.tested, errors.wrong) == (len(test), ())


def test_a_text_of_the_pool_is_shown_itself(finished: tuple[Result, list[Prompt]]) -> None:
    """As with any retrieval; no query of a run is in the pool."""
    result, asked = finished
    rule, _ = result.prompt().demonstrations
    assert isinstance(rule, Nearest)
    known = rule.shelf[3]
    prompt = result.prompt().render(text=known.fields["text"])
    assert prompt.shots[0] == (prompt.query, "good")
    assert all(each.query not in {block for block, _ in each.shots} for each in asked)


def test_people_are_told_the_rule_in_place_of_a_text(
    finished: tuple[Result, list[Prompt]],
) -> None:
    result, _ = finished
    told = "nearest to the query (tfidf)"
    folder = result.directory / "sites" / "local"
    assert f"[{told}, of 12 examples] good" in (folder / "prompt.txt").read_text()
    shown = json.loads((folder / "result.json").read_text())["demonstrations"][0]
    assert shown == {"nearest": "tfidf", "of": 12}
    assert told in build_page(result.directory)
    assert "nearest (tfidf)" in build_page(result.directory), "among the candidates of a slot"
    assert told in result._repr_html_()


@pytest.mark.parametrize("name", FORMATS)
def test_formats_with_one_prompt_for_all_queries_refuse(
    finished: tuple[Result, list[Prompt]], name: str
) -> None:
    result, _ = finished
    if name == "json":
        exported = json.loads(export_prompt(result, name).content)
        assert exported == result.prompt().to_dict()
    else:
        with pytest.raises(ConfigError, match=rf"format '{name}' holds one prompt for all queries"):
            export_prompt(result, name)


class Stop(KeyboardInterrupt):
    """What ends a session."""


@pytest.mark.parametrize("count", [2, 7])
def test_interrupted_and_resumed(
    finished: tuple[Result, list[Prompt]], tmp_path: Path, count: int
) -> None:
    seen = 0

    def observe(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == count:
            raise Stop

    files = finished[0].config.data
    data = {f"data.{part}": getattr(files, part) for part in ("train", "validation", "test")}
    stopped = config(tmp_path).override(data)
    with pytest.raises(Stop):
        run_config(stopped, observers=[observe], model=model())
    resumed = resume_run(stopped.run.dir, model=model())
    for file in ("result.json", "sites/local/prompt.json"):
        whole = (finished[0].directory / file).read_bytes()
        assert (resumed.directory / file).read_bytes() == whole


def test_references_and_random_examples_are_what_they_are_without(tmp_path: Path) -> None:
    """Random demonstrations are texts, the same ones, whatever else a slot may choose."""
    changes: dict[str, dict[str, Any]] = {"with": {}, "without": {"method.neighbours": None}}
    runs = {
        name: run_method("random-icl", config(tmp_path, name).override(change), model=model())
        for name, change in changes.items()
    }
    scores = {name: run.data["metrics"]["test"] for name, run in runs.items()}
    assert scores["with"] == scores["without"]
    assert runs["with"].prompt() == runs["without"].prompt()


@pytest.mark.parametrize("method", ["random-search", "halving", "fedpob"])
def test_every_search_has_the_same_space(tmp_path: Path, method: str) -> None:
    found = run_method(method, config(tmp_path, method), model=model())
    assert found.data["metrics"]["test"]["tuned"]["accuracy"] == 1.0
    assert not found.prompt().is_fixed


def test_with_rules_alone_the_prompts_are_those_of_kate(tmp_path: Path) -> None:
    given, asked = config(tmp_path, demonstrations_total=3), model()
    run_method("kate", given, model=asked, options={"neighbours": 3})
    (site,) = load_inputs(given).sites.values()
    rules = np.full(site.shape.slots, site.shape.candidates - 1)
    found = site.prompts(np.empty(0, dtype=np.int64), rules, site.data.test)
    assert set(found) <= set(asked.asked)


@pytest.mark.parametrize("slots", [{"demonstrations_per_class": 2}, {"demonstrations_total": 3}])
def test_no_prompt_costs_more_than_the_longest(tmp_path: Path, slots: dict[str, int]) -> None:
    (site,) = load_inputs(config(tmp_path, **slots)).sites.values()
    lm, rng, queries = model(), np.random.default_rng(0), site.data.train
    most = [lm.max_usage(prompt).tokens for prompt in site.longest(queries, lm)]
    shape = site.shape
    assert shape.candidates == len(site.slots[0]) == 24 // shape.slots + 1
    for _ in range(20):
        shown = rng.integers(shape.candidates, size=shape.slots)
        found = site.prompts(np.empty(0, dtype=np.int64), shown, queries)
        for prompt, bound in zip(found, most, strict=True):
            assert lm.max_usage(prompt).tokens <= bound
            assert len(set(prompt.shots)) == shape.slots
        assert (site.random_examples(rng) < shape.candidates - 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm.calibration": "contextual"}, r'^method\.neighbours is about texts, .*set "batch"'),
        ({"method.neighbours": []}, r"^method\.neighbours = \[\]: give one or more, each once"),
        ({"method.neighbours": ["tfidf", "tfidf"]}, "give one or more, each once"),
        ({"method.neighbours": "tfidf"}, r'give a list, such as \["tfidf"\]'),
        ({"method.neighbours": [""]}, "give one or more, each once"),
        ({"method.mode": "fragment"}, r'^method\.neighbours has no effect with mode "fragment"'),
    ],
)
def test_settings_that_cannot_be_kept(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path).override(changes)
