"""The file of a study: what it may say, and what it is told when it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyndbt.baselines import methods
from asyndbt.errors import AsyndbtError, ConfigError, DataError
from asyndbt.pocket import TASKS as POCKET_TASKS
from asyndbt.study import StudyFile, cells_of, estimate_study, load_study

STUDIES = Path(__file__).parents[2] / "studies"
Make = Callable[..., StudyFile]


@pytest.mark.parametrize(
    ("keys", "tables", "message"),
    [
        (
            {"methods": ["asyndb"]},
            {},
            'study.methods names "asyndb", which is not one of them; did you mean "asyndbt"?',
        ),
        ({"tasks": ["pocket:topic"]}, {}, 'did you mean "pocket:topic-4way"?'),
        ({"tasks": ["sst2"]}, {}, "write [tasks.sst2.task] and [tasks.sst2.data]"),
        ({"seeds": []}, {}, "study.seeds = []"),
        ({"seeds": [1, 1]}, {}, "study.seeds names 1 twice: remove one"),
        ({"calls": 0}, {}, "study.calls = 0: use 1 or more"),
        ({"call": 1}, {}, "did you mean study.calls?"),
        ({"ablation": ["manual"]}, {}, 'study.ablation names "manual"'),
        ({"ablation_parts": ["manual"]}, {}, 'study.ablation_parts names "manual"'),
        ({}, {"grid": {"method": {"preset": "paper"}}}, "grid.method.preset takes a list"),
        ({}, {"grid": {"method": {"draws": [3, 4, 3]}}}, "grid.method.draws names 3 twice"),
        ({}, {"grid": {"method.mode": ["both", "fragment"]}}, "grid.method.mode would leave"),
        (
            {},
            {"overrides": {"cendbt": {"method": {"mode": "fragment"}}}},
            "name the method in study.ablation to measure the halves alone",
        ),
        (
            {},
            {"tasks": {"pocket:paraphrase": {"method": {"mode": "fragment"}}}},
            'tasks."pocket:paraphrase".method.mode would leave tables without numbers',
        ),
        ({}, {"base": {"run": {"seed": 1}}}, "base.run.seed is set by the study: use study.seeds"),
        ({}, {"base": {"budget": {"calls": 9}}}, "use study.calls"),
        (
            {},
            {"base": {"federation": {"privacy": {"epsilon": 4.0}}}},
            "base.federation.privacy.epsilon keeps scores at the sites",
        ),
        ({}, {"base": {"lm": {"cache": "a.sqlite"}}}, "base.lm.cache is set by the study"),
        ({}, {"overrides": {"kat": {}}}, 'overrides.kat names "kat"'),
        ({}, {"tasks": {"mine": {}}}, "tasks.mine is not among study.tasks"),
    ],
)
def test_what_is_wrong_is_named_with_the_mend(
    study: Make, keys: dict[str, Any], tables: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        study(tables=tables, **keys)
    assert message in str(error.value)


def test_a_wrong_setting_of_a_run_names_method_and_task(study: Make) -> None:
    with pytest.raises(ConfigError, match=r"method asyndbt, task pocket:.*method.drows"):
        cells_of(study(tables={"base": {"method": {"drows": 3}}}))


@pytest.mark.parametrize("first", [cells_of, estimate_study])
@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"data": {"pool_per_class": 10_000}}, "10000 for pool"),
        ({"data": {"validation": "none.jsonl"}}, "there is no such file"),
    ],
)
def test_a_task_without_usable_data_is_named(
    study: Make, first: Callable[[StudyFile], object], tables: dict[str, Any], message: str
) -> None:
    file = study(tables={"tasks": {"pocket:paraphrase": tables}})
    with pytest.raises(DataError) as error:
        first(file)
    for line in str(error.value).splitlines():
        assert line.startswith("method asyndbt, task pocket:paraphrase: ")
    assert message in str(error.value)


def test_the_estimate_names_the_task_whose_labels_the_model_does_not_know(study: Make) -> None:
    known = POCKET_TASKS["paraphrase"].labels
    labels = {key: "zzqx" if index else word for index, (key, word) in enumerate(known.items())}
    file = study(tables={"tasks": {"pocket:paraphrase": {"task": {"labels": labels}}}})
    with pytest.raises(AsyndbtError, match=r"^asyndbt, pocket:paraphrase, seed 0, .*'zzqx'"):
        estimate_study(file)


def test_a_wrong_option_of_a_method_is_found_before_anything_runs(study: Make) -> None:
    with pytest.raises(ConfigError, match=r"options.random-icl: .*neighbour"):
        cells_of(study(tables={"options": {"random-icl": {"neighbour": 3}}}))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; docs/"):
        load_study(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[study")
    with pytest.raises(ConfigError, match="not TOML"):
        load_study(tmp_path / "broken.toml")


def test_name_and_directory_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "first.toml"
    file.write_text('[study]\nmethods = ["manual"]\ntasks = ["pocket:paraphrase"]\n')
    found = load_study(file)
    assert found.study.name == "first"
    assert found.study.dir == tmp_path / "runs" / "study-first"
    assert found.study.seeds == [0, 1, 2, 3, 4]


def test_the_quick_study_has_cells() -> None:
    cells = cells_of(load_study(STUDIES / "quick.toml"))
    assert len({cell.directory for cell in cells}) == len(cells) == 16


def test_the_paper_s_study_is_the_paper_s_protocol() -> None:
    found = load_study(STUDIES / "paper.toml")
    data, method = found.base["data"], found.base["method"]
    assert (data["pool_per_class"], data["partition"]["sites"]) == (50, 3)
    assert (data["train_per_class"], data["validation_per_class"]) == (10, 10)
    assert found.study.seeds == [0, 1, 2, 3, 4]
    assert (found.base["lm"]["model"], method["preset"]) == ("qwen-max", "paper")
    assert data["partition"]["test"] == "shared"
    assert found.overrides["cendbt"] == {"data": {"partition": {"sites": 1}}}
    assert method["patience"] < method["validations"]
    for name in ("kate", "adaicl"):
        assert found.options[name]["encoder"] == "FacebookAI/roberta-base"
        assert found.options[name]["neighbours"] == 5
    trained = found.options["encoder-mlp"]
    assert (trained["examples"], trained["epochs"]) == ("train", 500)
    assert trained["learning_rate"] == 2e-5
    for table in found.tasks.values():
        assert table["data"]["validation"].endswith("/validation.jsonl")
    for name, options in found.options.items():
        methods()[name](**options)
    templates = {table["task"]["template"] for table in found.tasks.values()}
    assert templates == set(found.study.tasks) == {"5g", "cola", "mrpc", "qnli", "qqp", "sst2"}


def test_the_pocket_study_compares_every_method_on_every_demo_task() -> None:
    found = load_study(STUDIES / "pocket.toml")
    assert len(found.study.tasks) == 7
    assert all(name.startswith("pocket:") for name in found.tasks)
    assert {"asyndbt", "cendbt", "halving", "tpe", "bdpl", "kate"} <= set(found.study.methods)
