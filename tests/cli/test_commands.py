from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asyndbt.run
from asyndbt.cli import demo_config, demo_values, main
from asyndbt.cli._outcome_text import accuracy_table
from asyndbt.config import Config, load_config
from asyndbt.config._schema import reference_tables, starter_toml
from asyndbt.pocket import TASKS

Capture = pytest.CaptureFixture[str]


# ------------------------------------------------------------------ init
def test_init_writes_a_file_that_is_valid_and_is_the_demo(tmp_path: Path, capsys: Capture) -> None:
    assert main(["init"]) == 0
    config = load_config(tmp_path / "asyndbt.toml")
    assert config == Config.from_dict(
        demo_values("sentiment-consumer"), base=tmp_path, name="asyndbt"
    )
    assert "asyndbt run asyndbt.toml" in capsys.readouterr().out


def test_init_does_not_write_over_a_file_unless_forced(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    assert main(["init", str(file)]) == 1
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main(["init", str(file), "--force"]) == 0
    load_config(file)


def settings_in_comments() -> Iterator[tuple[str, str]]:
    """Every commented setting, with the table that it stands in."""
    table = ""
    for line in starter_toml(Config, demo_values("sentiment-consumer")).splitlines():
        bare = line.removeprefix("# ")
        if bare.startswith("["):
            table = bare.strip("[]")
        elif line.startswith("# ") and " = " in bare and bare.split(" = ")[0].isidentifier():
            yield table, bare


def test_init_names_every_key_with_what_it_does() -> None:
    text = starter_toml(Config, demo_values("sentiment-consumer"))
    for table in reference_tables(Config):
        for key in table.keys:
            assert f"\n{key.name} = " in text or f"\n# {key.name} = " in text
            assert key.description[:40] in text


def test_init_can_be_edited_literally_and_no_key_stands_twice() -> None:
    """Every mark of a comment before a key or a table is removed, but those of one provider."""
    text = starter_toml(Config, demo_values("sentiment-consumer"))
    before, providers = text.split('# ---- With provider = "huggingface"')
    text = before + providers[providers.index("# ----") :]
    tables = tomllib.loads(re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE))
    assert tables["lm"]["model"] == "gpt-4o-mini"
    assert tables["data"]["sites"]["north"]["train"] == "north/train.jsonl"
    assert tables["budget"]["money"] == 10.0


def provider_for(key: str) -> dict[str, Any]:
    """A table [lm] in which a key has an effect."""
    if key in ("device", "dtype", "kind", "chat_template", "batch_tokens"):
        return {"provider": "huggingface", "model": "folder"}
    prices = {"price_in": 1.0, "price_out": 1.0}
    feedback = {"votes": "votes", "calibration": "logprobs"}.get(key, "text")
    return {"provider": "openai", "model": "gpt", "feedback": feedback, **prices}


@pytest.mark.parametrize(("table", "line"), list(settings_in_comments()))
def test_each_commented_setting_can_be_used(table: str, line: str) -> None:
    values: dict[str, Any] = demo_values("sentiment-consumer")
    full = f"{table}.{line.split(' = ')[0]}"
    if full == "task.template":
        values["task"] = {}
    if full in ("task.reward", "task.answer", "task.pattern"):
        reward = "regex" if full == "task.pattern" else "exact"
        values["task"] = {"instruction": "{text_a}?", "reward": reward}
    if table.startswith("task.judge"):
        judge = {"prompt": "{answer}?", "lm": {"provider": "openai", "model": "gpt"}}
        values["task"] = {"instruction": "{text_a}?", "reward": "judge", "judge": judge}
    if full == "method.mode":
        values["method"] = {}
    if table == "data.partition":
        values["data"].update(site_column=None, partition={"sites": 2})
    if table == "data.sites.north":
        values["data"] = {"sites": {"north": {"train": "train.jsonl"}}}
    if table == "federation.delays":
        values["federation"] = {"engine": "virtual", "delays": {"dead": {"north": 1.0}}}
    if table == "federation.liars":
        liars = {"attack": "collude", "share": None if full.endswith(".sites") else 0.3}
        values["federation"] = {"engine": "virtual", "liars": liars}
    if table == "federation.flower" or full == "federation.sites":
        files = ("certificate", "certificate_key", "root_certificate")
        values = {"task": values["task"], "method": values["method"], "budget": {"calls": 100}}
        values["federation"] = {"engine": "flower", "sites": ["north"]}
        values["federation"]["flower"] = dict.fromkeys(files, "a.pem")
    if table == "federation.privacy":
        values["federation"] = {"privacy": {"epsilon": 1.0}}
        values["method"]["iterations"] = 4
    if table == "lm":
        values["lm"] = provider_for(full.split(".")[1])
    *path, last = full.split(".")
    here = values
    for part in path:
        here = here.setdefault(part, {})
    here[last] = tomllib.loads(line)[last]
    Config.from_dict(values)


# ------------------------------------------------------------------ estimate
def test_estimate_tells_what_a_run_costs(tmp_path: Path, capsys: Capture) -> None:
    assert main(["init"]) == 0
    capsys.readouterr()
    assert main(["estimate", "asyndbt.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    most = load_config(tmp_path / "asyndbt.toml").budget.per_site.calls
    assert most is not None
    least, highest = (found[end]["usage"]["calls"] for end in ("least", "most"))
    assert found["evaluation"] < least <= highest == 3 * most
    assert found["free"]


def test_a_study_finds_its_data_in_the_folder_that_is_named(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "data").mkdir()
    rows = [{"text_a": f"text {i}", "label": i % 2} for i in range(120)]
    (tmp_path / "data" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = tmp_path / "study.toml"
    file.write_text(
        '[study]\nmethods = ["manual"]\ntasks = ["own"]\nseeds = [0]\n'
        '[tasks.own]\ntask = { template = "cola" }\ndata = { train = "rows.jsonl" }\n'
    )
    assert main(["estimate", str(file)]) == 1
    assert "rows.jsonl" in capsys.readouterr().err
    assert main(["estimate", str(file), "--data", str(tmp_path / "data")]) == 0
    assert "runs    1" in capsys.readouterr().out
    assert main(["study", str(file), "--data", str(tmp_path / "data"), "--quiet"]) == 0
    assert (tmp_path / "runs" / "study-study" / "README.md").exists(), "beside the study's file"


def test_estimate_of_a_file_that_is_not_there(capsys: Capture) -> None:
    assert main(["estimate", "none.toml"]) == 1
    assert "none.toml: no such file" in capsys.readouterr().err


# ------------------------------------------------------------------ demo
@pytest.mark.parametrize("task", list(TASKS))
def test_every_demo_task_has_a_valid_configuration(task: str, tmp_path: Path) -> None:
    config = demo_config(task, seed=3)
    assert config.task.labels == dict(TASKS[task].labels)
    assert list(config.task.labels) == list(TASKS[task].labels)
    assert config.run.dir == tmp_path / "runs" / f"demo-{task}-seed3"
    assert config.budget.per_site.calls is not None


def test_demo_tells_what_it_found(capsys: Capture, facade: Any) -> None:
    assert main(["demo", "--seed", "2", "--dir", "here"]) == 0
    assert facade.configs[0].run.seed == 2
    out = capsys.readouterr().out
    for part in (
        *("movies", "plain", "random demonstrations", "tuned", "all sites", "360", "95 %"),
        "Question: shot of phones Answer: yes\n    Question: {text_a} Answer:",
        "6,000",
        "movies: 3 messages, 4,096 bytes",
        "they say nothing about real language models",
        "asyndbt init",
        "here",
    ):
        assert part in out


def test_the_median_of_the_sites_stands_below_their_mean() -> None:
    score = {"accuracy": 0.9, "interval": [0.8, 1.0], "n": 30}
    of_site = {"metrics": {"test": {"tuned": score}}, "test_examples": 10}
    overall = {"plain": None, "tuned": {**score, "site_median": 0.612}}
    data = {"metrics": {"test": overall}, "sites": dict.fromkeys("abc", of_site)}
    *_, mean, median, _ = accuracy_table(data).splitlines()
    assert mean.startswith("all sites")
    assert median.split() == ["median", "of", "sites", "-", "-", "61.2", "%", "3", "sites"]
    many = {str(number): of_site for number in range(30)}
    *_, more, mean, median, _ = accuracy_table({**data, "sites": many}).splitlines()
    assert more == "... and 10 more in result.json"
    assert (mean[:9], median[:6]) == ("all sites", "median")


# ------------------------------------------------------------------ predict
@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "new.csv"
    file.write_text('text_a,id\nfine,1\n"so, so",2\n')
    return file


def test_predict_prints_the_rows_with_predictions(rows: Path, capsys: Capture) -> None:
    assert main(["predict", "runs/x", "--input", str(rows)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text_a"] for line in lines] == ["fine", "so, so"]
    assert lines[0]["prediction"] == "1"
    assert lines[0]["scores"] == {"0": 0.25, "1": 0.75}


def test_predict_counts_what_brought_no_label(
    rows: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []

    def predict(self: object, batches: Any, site: Any) -> Any:
        for batch in batches:
            named.extend(origin for origin, _ in batch)
            yield [
                {"prediction": None, "scores": None},
                {"prediction": None, "scores": {"1": 0.5}},
            ]

    monkeypatch.setattr(asyndbt.run.Result, "predict_batches", predict)
    assert main(["predict", "runs/x", "--input", str(rows)]) == 0
    assert capsys.readouterr().err == (
        "asyndbt: warning: no answer for 1 of 2 rows\n"
        "asyndbt: warning: no label in the answers to 1 of 2 rows\n"
    )
    assert named == ["new.csv line 2", "new.csv line 3"]


def test_predict_writes_a_file(rows: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["predict", "x", "--input", str(rows), "--output", "out.jsonl"]) == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    assert capsys.readouterr().out == "2 predictions: out.jsonl\n"


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("new.csv", "this is the input"),
        ("no/out.jsonl", "cannot be written"),
        ("out.csv", "out.csv: predictions are written as JSON lines: name it .jsonl"),
    ],
)
def test_predict_finds_out_first_that_the_output_has_no_place(
    rows: Path, capsys: Capture, output: str, text: str
) -> None:
    before = rows.read_text()
    assert main(["predict", "x", "--input", str(rows), "--output", output]) == 1
    assert text in capsys.readouterr().err
    assert rows.read_text() == before


def test_predict_without_its_input(capsys: Capture) -> None:
    assert main(["predict", "x", "--input", "none.csv"]) == 1
    assert "none.csv" in capsys.readouterr().err


# ------------------------------------------------------------------ tables
def test_a_table_of_a_thousand_sites_is_short(play: Any) -> None:
    table = accuracy_table(play.result([f"site-{number}" for number in range(1000)]))
    assert len(table.splitlines()) < 26
    assert "980 more" in table
    assert "all sites" in table


def test_a_part_of_the_test_examples_is_told_beside_the_whole(play: Any) -> None:
    data = play.result()
    for part in (data, *data["sites"].values()):
        part["test_examples"] = 2 * part["metrics"]["test"]["tuned"]["n"]
    rows = accuracy_table(data).splitlines()
    assert rows[1].endswith(" 120 of 240")
    assert rows[4].endswith(" 360 of 720")


def test_a_run_without_test_data_says_so() -> None:
    nothing = dict.fromkeys(("plain", "random_icl", "tuned"))
    assert "no test data" in accuracy_table({"metrics": {"test": nothing}, "sites": {}})


def test_examples_are_told_by_column_where_answers_are_missing(play: Any) -> None:
    data = json.loads(json.dumps(play.result(["north"])))
    north = data["sites"]["north"]
    north["test_examples"] = 12
    for name, count in (("plain", 12), ("random_icl", 11), ("tuned", 10)):
        north["metrics"]["test"][name]["n"] = count
    (row,) = (line for line in accuracy_table(data).splitlines() if line.startswith("north"))
    assert row.endswith("   12, 11, 10 of 12")
