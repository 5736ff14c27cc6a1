"""Errors of rooms that know only their own parameters name the keys of the file in the end."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyndbt
from asyndbt.config import Config, toml_keys
from asyndbt.config._explain import _KEYS
from asyndbt.config._schema import reference_tables
from asyndbt.errors import AsyndbtError, ConfigError, DataError, Setting
from asyndbt.lm import Limits, Usage, split_limits
from asyndbt.lm.providers.openai._probe import PROMPT_TOO_LONG
from asyndbt.run import load_inputs
from asyndbt.task import SplitSizes, Task, builtin_task, partition_examples, read_text

SOURCES = list(Path(asyndbt.__file__).parent.rglob("*.py"))
TABLES = list(reference_tables(Config))
KNOWN = {".".join((*table.path, key.name)) for table in TABLES for key in table.keys}


def named_settings() -> set[str]:
    """Names in calls of `Setting` anywhere in the package, as regular expressions."""
    found = set()
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Setting":
                argument = node.args[0]
                parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                found.add(
                    "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+"
                        for part in parts
                    )
                )
    return found


def test_every_setting_that_an_error_names_has_a_key() -> None:
    names = named_settings()
    assert len(names) >= 10
    for name in names:
        assert any(re.fullmatch(name, known) for known in _KEYS), name


@pytest.mark.parametrize("name", _KEYS)
def test_every_key_is_one_of_the_file(name: str) -> None:
    keys = set(re.findall(r"[a-z]+(?:\.[a-z_]+)+", _KEYS[name]))
    assert keys
    assert keys <= KNOWN


def north(calls: int) -> dict[str, Usage]:
    return {"north": Usage(calls=calls)}


def too_long() -> None:
    raise ConfigError(*PROMPT_TOO_LONG)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: builtin_task("sst"), "task.template = 'sst' is not built in; there are "),
        (lambda: Task("fine?", ("0", "1"), ("no", "yes")), "task.instruction: no field; name the"),
        (lambda: Task("{a}", ("0",), ("no",)), "task.labels: 1 given; a task needs 2 or more"),
        (
            lambda: read_text("row 1", {"a": "abc"}, "a", 2),
            "row 1, column 'a': the text has 3 characters, 2 are allowed; shorten it or raise "
            "data.max_chars",
        ),
        (lambda: SplitSizes(pool_per_class=0), "data.pool_per_class: 0 given; it must be 1 or "),
        (
            lambda: partition_examples([], 0, "iid", rng=np.random.default_rng(0)),
            "data.partition.sites: 0 given; it must be 1 or more",
        ),
        (
            lambda: split_limits(Limits(), Limits(calls=3), north(4)),
            "'north' needs at least 4 calls and may spend 3 calls; raise budget.per_site.calls, "
            "or lower method.draws, method.batch_size, method.confirm_candidates or "
            "method.validations",
        ),
        (
            lambda: split_limits(Limits(calls=3), Limits(), north(4)),
            "(north 4 calls) and the total is 3 calls; raise budget.calls, or lower "
            "method.draws, method.batch_size, method.confirm_candidates or method.validations",
        ),
        (
            too_long,
            "the longest prompt is too long for the model: set fewer "
            "method.demonstrations_per_class (or _total), a shorter method.fragment_length or a "
            "smaller data.max_chars",
        ),
    ],
)
def test_the_message_names_the_key(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(AsyndbtError) as caught, toml_keys():
        call()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"method.demonstrations_per_class": 9},
            r"9 demonstrations, 18 needed \(2 candidates each\); raise data\.pool_per_class or "
            r"lower method\.demonstrations_per_class$",
        ),
        (
            {"method.demonstrations_total": 9},
            r"9 demonstrations, 18 needed \(2 candidates each\); raise data\.pool_per_class or "
            r"lower method\.demonstrations_total$",
        ),
        ({"data.label_column": "lable"}, r"; data\.label_column names the one with the labels$"),
        ({"data.columns": {"text_c": "c"}}, r"^data\.columns: the instruction has no field"),
        (
            {"data.train_per_class": 9_000, "data.validation_per_class": 3},
            r"add some, or lower data\.pool_per_class or data\.train_per_class or "
            r"data\.validation_per_class$",
        ),
    ],
)
def test_a_run_that_cannot_begin_names_the_key(changes: dict[str, Any], said: str) -> None:
    tables = {
        "task": {
            "instruction": "Is {text_a} good?",
            "labels": {"negative": "bad", "positive": "good"},
        },
        "data": {"train": "pocket:sentiment-consumer/train", "pool_per_class": 4},
        "budget": {"calls": 100},
    }
    config = Config.from_dict(tables).override(changes)
    with pytest.raises((ConfigError, DataError), match=said):
        load_inputs(config)


def test_other_parts_of_an_error_stay_as_they_are() -> None:
    with pytest.raises(DataError) as caught, toml_keys():
        raise DataError("column 'labels': see ", Setting("labels"), " and ", Setting("unheard"))
    assert str(caught.value) == "column 'labels': see task.labels and unheard"
