"""The Python entrance: tables of any kind, and rows in place of files."""

from __future__ import annotations

import json
from itertools import cycle
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asyndbt._api import tune
from asyndbt.errors import ConfigError, DataError, RunDirectoryError
from asyndbt.run import run_config
from asyndbt.testing import ScriptedLanguageModel


def tables(small: Any, name: str, **data: Any) -> dict[str, Any]:
    given = small.config(name, method={"iterations": 2}).model_dump(mode="json", exclude_unset=True)
    return {**given, "data": {**given["data"], **data}}


def test_rows_do_what_their_files_do(small: Any) -> None:
    rows = {part: [MappingProxyType(row) for row in small.rows(part)] for part in small.files}
    inside = tune(MappingProxyType(tables(small, "inside", **rows)))
    files = run_config(small.config("files", method={"iterations": 2}))
    assert small.outcome(inside.directory) == small.outcome(files.directory)
    texts = [row["text_a"].encode() for row in small.rows("train")]
    for file in (file for file in inside.directory.iterdir() if file.is_file()):
        assert not [text for text in texts if text in file.read_bytes()], file
    assert inside.sites == sorted(small.sites)
    with pytest.raises(RunDirectoryError, match="holds a run already"):
        tune(tables(small, "inside", **rows))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("fine", r"data\.train, row 2: found 'fine'; give a mapping"),
        (
            {"text_a": object()},
            r"data\.train, row 2, column 'text_a': found object .*; give a",
        ),
        (
            {"text_a": "x", "label": [1]},
            r"row 2, column 'label': found list \[1\]; give a text",
        ),
        ({"text_a": 3, "label": "positive", "site": "x"}, r"train\.jsonl line 2, column 'text_a'"),
    ],
)
def test_a_wrong_row_is_named(small: Any, row: Any, text: str) -> None:
    rows = [small.rows("train")[0], row]
    with pytest.raises(DataError, match=text):
        tune(**tables(small, "wrong", train=rows))
    assert not (small.folder / "wrong" / "config.toml").exists()


def test_rows_as_programs_have_them(small: Any) -> None:
    """Labels and texts of NumPy, an iterator, columns that are of no use here."""
    given = tables(small, "numpy", validation=None, test=None)
    numbers = {"negative": 0, "positive": 1}
    given["task"]["labels"] = {
        np.int64(number): given["task"]["labels"][name] for name, number in numbers.items()
    }
    rows = (
        {
            "text_a": np.str_(row["text_a"]),
            "label": kind(numbers[row["label"]]),
            "site": np.str_(row["site"]),
            "embedding": np.ones(3),
            7: object(),
        }
        for row, kind in zip(small.rows("train"), cycle((np.int8, np.float32, int)), strict=False)
    )
    result = tune({**given, "data": {**given["data"], "train": rows}})
    assert result.sites == sorted(small.sites)
    assert set(result.prompt("meals").task.labels) == {"0", "1"}
    kept = (result.directory / "sites" / ".data" / "train.jsonl").read_text().splitlines()
    assert set(json.loads(kept[0])) == {"text_a", "label", "site"}


def test_data_frames_do_what_rows_do(small: Any) -> None:
    frames = {part: pd.DataFrame(small.rows(part)) for part in small.files}
    extra = {"train": frames["train"].assign(when=pd.Timestamp(0), gap=pd.NA, n=1.5)}
    inside = tune(tables(small, "frames", **{**frames, **extra}))
    rows = tune(tables(small, "rows", **{part: small.rows(part) for part in small.files}))
    assert small.outcome(inside.directory) == small.outcome(rows.directory)
    texts = frames["test"][["text_a"]]
    assert inside.predict(texts, "meals") == rows.predict(texts.to_dict("records"), "meals")
    gap = frames["train"].assign(label=pd.NA)
    with pytest.raises(DataError, match=r"line 1, column 'label': the label is empty"):
        tune(tables(small, "gap", train=gap))


def test_a_configuration_and_tables_are_one_too_many(small: Any) -> None:
    with pytest.raises(ConfigError, match="not both"):
        tune(small.config(), method={"draws": 3})


def test_a_model_of_ones_own_takes_the_place_of_the_configured_one(small: Any) -> None:
    model = ScriptedLanguageModel({"": (-0.1, -2.0)})
    result = tune(small.config(), model=model)
    assert len(model.asked) == result.data["ledger"]["calls"]
    assert result.data["model"]["model"] == model.name
