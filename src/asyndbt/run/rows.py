"""Examples given in Python instead of files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyndbt.config import Config
from asyndbt.errors import DataError
from asyndbt.run.directory import RunDirectory, write_atomically

__all__ = ["Rows", "place_rows", "take_rows"]

Rows = Mapping[str, Sequence[Any]]
"""Rows by part: train, validation, test."""

_FOLDER = ".data"
"""Below ``sites/``, as texts are; no site has this name, which begins with a dot."""


def take_rows(tables: Mapping[str, Any]) -> tuple[dict[str, Any], Rows]:
    """Replace lists of rows in the table ``data`` by names of files.

    Examples
    --------
    >>> tables, rows = take_rows({"data": {"train": [{"text_a": "fine", "label": "1"}]}})
    >>> tables, rows["train"][0]["label"]
    ({'data': {'train': 'train.jsonl'}}, '1')
    """
    data = tables.get("data")
    if not isinstance(data, Mapping):
        return dict(tables), {}
    rows = {
        part: data[part]
        for part in ("train", "validation", "test")
        if isinstance(data.get(part), list | tuple)
    }
    files = {part: f"{part}.jsonl" for part in rows}
    return {**tables, "data": {**data, **files}}, rows


def place_rows(config: Config, rows: Rows) -> Config:
    """Write rows into the directory of a run to come, and name the files in its configuration.

    Raises
    ------
    RunDirectoryError
        If a run is recorded there already.
    DataError
        If a row is not a mapping of texts and numbers.
    """
    RunDirectory(config.run.dir).check_unused()
    folder = config.run.dir / "sites" / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for part, given in rows.items():
        write_atomically(folder / f"{part}.jsonl", "".join(_lines(part, given)).encode())
    return config.override({f"data.{part}": str(folder / f"{part}.jsonl") for part in rows})


def _lines(part: str, rows: Sequence[Any]) -> Iterable[str]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"data.{part}, row {number}: found {row!r}; give a mapping by column")
        try:
            yield json.dumps(dict(row)) + "\n"
        except (TypeError, ValueError) as error:
            raise DataError(f"data.{part}, row {number}: {error}; give texts and numbers") from None
