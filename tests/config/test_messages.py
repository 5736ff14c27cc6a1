from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config, load_config
from asyndbt.config._schema import SITE, reference_tables
from asyndbt.errors import ConfigError

Complaint = Callable[[dict[str, Any]], str]
OPENAI = {"provider": "openai", "model": "m"}
VIRTUAL = {"federation.engine": "virtual"}
LIARS = {"attack": "collude", "share": 0.3}
PRIVATE = {"federation.privacy.epsilon": 4.0, "method.iterations": 4}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"method.draws": 1}, "method.draws = 1: use 2 or more"),
        ({"method.draws": "4"}, 'method.draws = "4": use a whole number, without quotes'),
        ({"method.draws": 4.5}, "method.draws = 4.5: use a whole number, without quotes"),
        ({"method.centralised": "yes"}, 'method.centralised = "yes": write true or false, witho'),
        ({"method.eta_p": float("nan")}, "method.eta_p = nan: use a finite number"),
        ({"method.discount": 1.5}, "method.discount = 1.5: use 1 or less"),
        ({"method.preset": "papr"}, 'use "default" or "paper"; did you mean "paper"?'),
        ({"method.vocabulary": "pokcet"}, 'a text file; did you mean "pocket"?'),
        ({"run.seed": -1}, "run.seed = -1: use 0 or more"),
        ({"run.dir": 3}, "run.dir = 3: give the path of a directory, in quotes"),
        ({"federation.quorum": 0}, 'federation.quorum = 0: use "majority", "all", a whole'),
        ({"federation.quorum": 1.5}, "federation.quorum = 1.5: use"),
        ({"federation.quorum": True}, "federation.quorum = true: use"),
        ({"federation.privacy.delta": 1e-6}, "federation.privacy.epsilon is missing"),
        (PRIVATE | {"federation.privacy.epsilon": 0.0}, "epsilon = 0.0: use 0.1 or more"),
        (PRIVATE | {"federation.privacy.delta": 0.5}, "federation.privacy.delta = 0.5: use 0.01"),
        (PRIVATE | {"method.iterations": None}, "method.iterations is missing: with federation.p"),
        (PRIVATE | {"method.centralised": True}, "method.centralised pools the data of all sites"),
        (PRIVATE | {"method.exchange": "effects"}, 'method.exchange = "effects" is not made priv'),
        (PRIVATE | {"method.vocabulary": "pmi"}, 'method.vocabulary = "pmi" tells n-grams of'),
        (
            PRIVATE | {"method.vocabulary": "propose"},
            'method.vocabulary = "propose" has hints that',
        ),
        (PRIVATE | {"method.patience": 1}, "method.patience needs validation scores, which fed"),
        ({"data.label_column": ""}, 'data.label_column = "": use a text that is not empty'),
        ({"data.train": "hf:imdb"}, "hf: is not a known source; give a path"),
        ({"data.train": "C:\temp"}, "write a path with backslashes in single quotes"),
        ({"run.dir": "D:\runs\new"}, "write a path with backslashes in single quotes"),
        ({"method.vocabulary": "C:\new.txt"}, "write a path with backslashes in single quotes"),
        ({"data.train": "pocket:x"}, "write it as pocket:TASK/SPLIT"),
        ({"data.train": None}, "data.train is missing: give the training examples"),
        ({"data.sites": {}}, "data.sites is empty"),
        ({"data.partition.kind": "iid"}, "data.partition.sites is missing"),
        ({"data": 3}, "data = 3: this is a table: write [data] and its keys below"),
        ({"task.template": None}, "task.instruction is missing: write the question"),
        ({"task.labels": {"0": "no"}}, "task.labels is set by task.template already"),
        ({"lm.base_url": "http://x"}, 'lm.base_url has no effect with provider "pocket"'),
        ({"lm.provider": "opnai", "lm.model": "m"}, 'or "openai"; did you mean "openai"?'),
        ({"lm.provider": "openai"}, 'lm.model is missing: provider "openai" needs it'),
        ({"lm.feedback": "votes"}, 'lm.feedback is one of "logprobs", "text" with provider "poc'),
        (
            {"lm.calibration": "batch", "lm.feedback": "text"},
            'lm.calibration = "batch" needs probabilities, and lm.feedback is "text": set "log',
        ),
        ({"lm": OPENAI | {"votes": 3}}, 'lm.votes has no effect with feedback "logprobs"'),
        ({"lm": OPENAI | {"timeout": 0}}, "lm.timeout = 0: use more than 0"),
        ({"lm": OPENAI | {"price_in": 1}}, "lm.price_out is missing: prices come in pairs"),
        ({"lm": OPENAI | {"base_url": "x"}}, "lm.base_url is an address such as http://"),
        ({"budget.calls": None}, "budget has no limit that ends this run: set budget.calls"),
        ({"method.regularisation": "scheduled", "method.eta_theta": 0}, "method.eta_theta = 0 le"),
        ({"method.patience": 3}, "method.patience = 3 is never reached with validations = 3"),
        ({"method.validations": 0}, "method.validations = 0: use 1 or more"),
        ({"data.partition": {"sites": 2, "test": "all"}}, 'use "divided" or "shared"'),
        (
            {"method.demonstrations_total": 4, "method.demonstrations_per_class": 1},
            "method.demonstrations_total and method.demonstrations_per_class exclude each other",
        ),
        (
            {"method.mode": "fragment", "method.demonstrations_total": 4},
            'method.demonstrations_total has no effect with mode "fragment": remove it',
        ),
        (
            {"method.mode": "demonstrations", "method.vocabulary": "pmi"},
            'method.vocabulary has no effect with mode "demonstrations": remove it',
        ),
        (
            {"method.estimator": "reinforce", "method.window": 9},
            'method.window has no effect with estimator "reinforce": remove it',
        ),
        (
            {"method.preset": "paper", "method.entropy": 0.1},
            'method.entropy has no effect with step "adam": remove it',
        ),
        ({"method.proposals": 0}, "method.proposals = 0: use 1 or more"),
        ({"method.proposal_ngram": 1}, "method.proposal_ngram = 1: use 2 or more"),
        (
            {"method.mode": "demonstrations", "method.proposals": 4},
            'method.proposals has no effect with mode "demonstrations": remove it',
        ),
        ({"method.vocabulary_min_sites": 1}, "method.vocabulary_min_sites = 1: use 2 or more"),
        ({"data.max_chars": 0}, "data.max_chars = 0: use 1 or more"),
        ({"federation.delays.mean": 2}, 'federation.delays belongs to engine "virtual"'),
        (VIRTUAL | {"federation.delays.shape": 1}, "federation.delays.shape = 1: use more than 1"),
        (VIRTUAL | {"federation.delays.slow": {"a": 0}}, "federation.delays.slow.a = 0: use more"),
        (VIRTUAL | {"federation.delays.rejoin": {"a": 5}}, 'rejoin brings "a" back before it dies'),
        (
            {"data.partition": {"sites": 2}, "data.sites": {"a": {"train": "x"}}},
            "data.partition and data.sites both form sites",
        ),
        (
            {"data.site_column": "site", "data.partition": {"sites": 2, "test": "shared"}},
            'data.partition.test = "shared" is for data whose sites are not named',
        ),
        ({"federation.liars": LIARS}, 'federation.liars belongs to engine "virtual"'),
        (
            {"federation": {"engine": "flower", "sites": ["a", "b"], "liars": LIARS}},
            'federation.liars belongs to engine "virtual"',
        ),
        (VIRTUAL | {"federation.liars": {"share": 0.3}}, "federation.liars.attack is missing"),
        (
            VIRTUAL | {"federation.liars": {"attack": "colude", "share": 0.3}},
            'did you mean "collude"?',
        ),
        (
            VIRTUAL | {"federation.liars": {"attack": "vote"}},
            "federation.liars.share is missing: give the share of the sites that lie",
        ),
        (
            VIRTUAL | {"federation.liars": LIARS | {"sites": ["a"]}},
            "federation.liars.share and federation.liars.sites exclude each other",
        ),
        (
            VIRTUAL | {"federation.liars": LIARS | {"words": ["a", "a"]}},
            "federation.liars.words names one twice",
        ),
        (
            VIRTUAL | {"federation.liars": LIARS, "method.mode": "demonstrations"},
            'federation.liars lie about the fragment, and method.mode = "demonstrations" has none',
        ),
        (
            VIRTUAL | {"federation.liars": LIARS, "method.centralised": True},
            "federation.liars needs sites, and method.centralised pools their data",
        ),
        ({"data.sites": {"a": {"train": "x"}}}, "data.train stands beside [data.sites]"),
        (
            {"data.sites": {"a/b": {"train": "x"}}},
            "a site's name starts with a letter or digit",
        ),
    ],
)
def test_a_wrong_value_names_the_key_what_was_given_and_the_mend(
    complaint: Complaint, changes: dict[str, Any], text: str
) -> None:
    message = complaint(changes)
    assert text in message
    assert message.startswith("a.toml: ")
    assert "\n" not in message
    assert not any(word in message for word in ("pydantic", "https://", "Input should"))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"0": "no"}, "needs two labels or more"),
        ({"0": "no", "1": "no"}, 'uses "no" twice'),
        ({"0": "no", "1": " "}, "has an empty label word"),
    ],
)
def test_labels_need_words_of_their_own(
    complaint: Complaint, labels: dict[str, str], text: str
) -> None:
    changes = {"task.template": None, "task.instruction": "{a}?", "task.labels": labels}
    assert f"task.labels {text}" in complaint(changes)


def test_an_instruction_needs_a_field(complaint: Complaint) -> None:
    changes = {"task.template": None, "task.instruction": "Is it good?"}
    assert "task.instruction has no field" in complaint(changes)


def test_a_key_given_in_place_of_its_variables_name_is_not_repeated(complaint: Complaint) -> None:
    lm = {"provider": "openai", "model": "m", "api_key_env": "sk-secret"}
    message = complaint({"lm": lm})
    assert "lm.api_key_env holds the name of an environment variable" in message
    assert "secret" not in message


def every_key() -> list[str]:
    return [
        ".".join([part if part != SITE else "north" for part in table.path] + [key.name])
        for table in reference_tables(Config)
        for key in table.keys
    ]


@pytest.mark.parametrize("full", every_key())
def test_a_typo_in_any_key_at_any_level_is_named_with_the_key_that_was_meant(
    complaint: Complaint, full: str
) -> None:
    table, _, name = full.rpartition(".")
    typo = f"{table}.x{name}"
    assert f"a.toml: {typo} is not a known key: did you mean {full}?" in complaint({typo: 1})


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("metod", "method"), ("data.site", "data.sites"), ("budget.persite", "budget.per_site")],
)
def test_a_typo_in_a_tables_name(complaint: Complaint, typo: str, meant: str) -> None:
    assert f"{typo} is not a known key: did you mean {meant}?" in complaint({typo: {"x": 1}})


def test_a_key_of_another_table_is_found_there(complaint: Complaint) -> None:
    assert "data.iterations is not a known key: did you mean method.iterations?" in complaint(
        {"data.iterations": 1}
    )


def test_a_key_that_resembles_nothing_lists_what_there_is(complaint: Complaint) -> None:
    assert "run.qqq is not a known key: [run] knows seed, dir" in complaint({"run.qqq": 1})


def test_all_problems_are_reported_one_line_each(complaint: Complaint) -> None:
    lines = complaint({"method.draws": 1, "run.sede": 3}).splitlines()
    assert lines == [
        "a.toml: method.draws = 1: use 2 or more",
        "a.toml: run.sede is not a known key: did you mean run.seed?",
    ]


def test_delays_name_sites_that_exist(complaint: Complaint) -> None:
    changes = {
        "data": {"sites": {"north": {"train": "n.csv"}}},
        "federation": {"engine": "virtual", "delays": {"slow": {"nort": 2.0}}},
    }
    assert 'federation.delays.slow names "nort", which is not' in complaint(changes)


def test_money_does_not_end_a_run_that_costs_none(complaint: Complaint) -> None:
    assert "a model on this machine costs none" in complaint({"budget": {"money": 3.0}})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[run]\nseed = \n", "line 2"),
        (b"[run]\nseed = 1\nseed = 2\n", "line 3"),
        (b"\xff\xfe[run]", "not a text in UTF-8"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, content: bytes, text: str) -> None:
    file = tmp_path / "b.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=text) as caught:
        load_config(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; asyndbt init .*c\.toml writes one"):
        load_config(tmp_path / "c.toml")
    with pytest.raises(ConfigError, match="directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        ({0: "no", 1: "yes"}, {"0": "no", "1": "yes"}),
        ({False: "no", True: "yes"}, {"False": "no", "True": "yes"}),
    ],
)
def test_labels_that_are_numbers_or_truth_values_are_read_as_text(
    minimal: dict[str, Any], labels: dict[Any, str], texts: dict[str, str]
) -> None:
    minimal["task"] = {"instruction": "Is {text_a} so?", "labels": labels}
    assert Config.from_dict(minimal).task.labels == texts


def test_one_label_as_number_and_as_text(complaint: Complaint) -> None:
    task = {"instruction": "Is {text_a} so?", "labels": {1: "no", "1": "yes"}}
    assert complaint({"task": task}) == (
        'a.toml: task.labels has the label "1" twice: name each label once'
    )


@pytest.mark.parametrize(
    "line",
    [
        r'train = "C:\Users\ann\train.csv"',
        r'train = "C:\data\train.csv"',
        r'train = "\\server\share\train.csv"',
        r'train = "C:\data"',
        r'train = "C:\data\"',
        r'train = "D:\xy"',
    ],
)
@pytest.mark.parametrize("rest", ["", '\n[run]\ndir = "runs"\n'])
def test_a_path_of_windows_is_told_to_stand_in_single_quotes(
    tmp_path: Path, line: str, rest: str
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f"[data]\r\n{line}{rest}")
    with pytest.raises(ConfigError, match=r"not TOML.*; write a path with backslashes in single"):
        load_config(file)


def test_other_errors_of_toml_have_nothing_to_do_with_backslashes(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[data]\nx = 'a\\b'\ntrain = train.csv\n")
    with pytest.raises(ConfigError, match=r"not TOML: [^;]*line 3[^;]*$"):
        load_config(file)
