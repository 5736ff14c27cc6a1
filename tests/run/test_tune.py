"""The Python entrance: tables of any kind, and rows in place of files."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

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
        ({"text_a": object()}, r"data\.train, row 2: .*not JSON serializable; give texts"),
        ({"text_a": 3, "label": "positive", "site": "x"}, r"train\.jsonl line 2, column 'text_a'"),
    ],
)
def test_a_wrong_row_is_named(small: Any, row: Any, text: str) -> None:
    rows = [small.rows("train")[0], row]
    with pytest.raises(DataError, match=text):
        tune(**tables(small, "wrong", train=rows))
    assert not (small.folder / "wrong" / "config.toml").exists()


def test_a_configuration_and_tables_are_one_too_many(small: Any) -> None:
    with pytest.raises(ConfigError, match="not both"):
        tune(small.config(), method={"draws": 3})


def test_a_model_of_ones_own_takes_the_place_of_the_configured_one(small: Any) -> None:
    model = ScriptedLanguageModel({"": (-0.1, -2.0)})
    result = tune(small.config(), model=model)
    assert len(model.asked) == result.data["ledger"]["calls"]
    assert result.data["model"]["model"] == model.name
