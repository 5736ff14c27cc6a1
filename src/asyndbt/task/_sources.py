"""Rows and their origins: JSONL, CSV and Parquet files, `datasets`, and the demonstration tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyndbt._text import did_you_mean, shorten
from asyndbt.errors import DataError, MissingExtraError
from asyndbt.task._csv import read_csv

Row = tuple[str, Mapping[str, Any]]
"""Origin of a row, for messages, and its values by column."""

_SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")


def read_file(path: Path) -> Iterator[Row]:
    """Read the rows of one file, in order.

    Parameters
    ----------
    path : pathlib.Path
        ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet``.

    Yields
    ------
    origin : str
        File name and line (row in Parquet), counted from 1.
    row : mapping
        Value per column.

    Raises
    ------
    DataError
        If the file is missing, of another kind, or broken at some line.
    MissingExtraError
        If a Parquet file is read without pyarrow.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(
            f"{path}: files end in {', '.join(_SUFFIXES)}; this one ends in"
            f" {path.suffix or 'nothing'!r}: convert it, or name it by its kind"
        )
    if not path.is_file():
        raise DataError(_missing(path))
    try:
        if path.suffix.lower() == ".jsonl":
            yield from _jsonl(path)
        elif path.suffix.lower() == ".parquet":
            yield from _parquet(path)
        else:
            yield from read_csv(path, "\t" if path.suffix.lower() == ".tsv" else ",")
    except UnicodeDecodeError:
        raise DataError(f"{path.name}{_not_utf8(path.read_bytes())}; save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _missing(path: Path) -> str:
    if path.is_dir():
        return f"{path}: is a folder, not a file; name a file in it"
    if not path.parent.is_dir():
        return f"{path}: there is no folder {path.parent}; check the path"
    hint = did_you_mean(path.name, (other.name for other in path.parent.iterdir()))
    return f"{path}: there is no such file{hint or '; check the path'}"


def _not_utf8(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ": the file is UTF-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(content[: error.start + 1].splitlines())
        return f" line {line}: byte {content[error.start]:#04x} is not UTF-8"
    raise AssertionError("it was not UTF-8 a moment ago")


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                origin = f"{path.name} line {number}"
                yield origin, json_row(origin, line)


def json_row(origin: str, line: str) -> dict[str, Any]:
    """Return the row on a line of JSONL; raises DataError if there is none."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{origin}: not JSON at column {error.colno} ({error.msg});"
            " every line must be one JSON object"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: cannot be read ({error}); repair or remove it") from None
    if not isinstance(row, dict):
        raise DataError(
            f"{origin}: found {shorten(row)}; every line must be one JSON object such as"
            ' {"text_a": "...", "label": "..."}'
        )
    return row


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name} row {number}", row
    except pyarrow.ArrowException as error:
        raise DataError(f"{path.name}: not a readable Parquet file ({error})") from None


def read_datasets(name: str, labels: Sequence[str], base: Path) -> Iterator[Row]:
    """Read rows through the `datasets` library.

    Parameters
    ----------
    name : str
        ``NAME[/CONFIG][:SPLIT]``, where NAME may be ``owner/name`` of the Hugging Face hub or the
        path of a folder of data files; the split is ``train`` without one.
    labels : sequence of str
        Labels of the task, if any: class numbers with names are read as names where the task uses
        these.
    base : pathlib.Path
        Folder that a path is relative to.

    Yields
    ------
    origin : str
    row : mapping

    Raises
    ------
    DataError
        If the library cannot load it.
    MissingExtraError
        If the library is not installed.
    """
    place, _, split = name.partition(":")
    table = _load(place, split or "train", base)
    names = {
        column: feature.names
        for column, feature in table.features.items()
        if labels and set(labels) <= set(getattr(feature, "names", None) or ())
    }
    for number, row in enumerate(table, start=1):
        named = {
            column: known[row[column]]
            for column, known in names.items()
            if isinstance(row[column], int) and row[column] >= 0
        }
        yield f"datasets:{name} row {number}", {**row, **named}


def _load(place: str, split: str, base: Path) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "datasets") from None
    reasons = []
    for path, config in _candidates(place, base):
        try:
            return datasets.load_dataset(path, config, split=split)
        # The library passes on the errors of a dozen others.
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {error}")
    # "owner/name" and "name/config" look alike: the first reading is the likelier one.
    raise DataError(
        f"datasets:{place}:{split}: cannot be loaded ({reasons[0]}); check name, configuration and"
        " split"
    )


def _candidates(place: str, base: Path) -> list[tuple[str, str | None]]:
    if not place:
        raise DataError("datasets: names no data set; write datasets:NAME[/CONFIG][:SPLIT]")
    if (base / place).is_dir():
        return [(str(base / place), None)]
    owner, _, rest = place.partition("/")
    name, _, config = rest.partition("/")
    if config:
        return [(f"{owner}/{name}", config)]
    return [(place, None), (owner, name)] if name else [(place, None)]


def read_pocket(name: str) -> Iterator[Row]:
    """Read rows of a pocket data set, such as ``sentiment-fans/train``.

    ``sentiment-fans/train@7`` has other rows: those of generator seed 7.

    Yields
    ------
    origin : str
    row : mapping

    Raises
    ------
    DataError
        If the pocket world has no such task or split.
    """
    found = re.fullmatch(r"([^/]+)/([^@]+)(?:@(\d{1,9}))?", name)
    if not found:
        raise DataError(
            f"pocket:{name}: write pocket:TASK/SPLIT, such as pocket:sentiment-fans/train"
        )
    # Imported late: it brings a whole model, which other sources do not need.
    from asyndbt.pocket import dataset

    try:
        task, split, seed = found.groups(default="0")
        rows = dataset(task, split, int(seed))  # type: ignore[arg-type]  # it is checked there
    except ValueError as error:
        raise DataError(f"pocket:{name}: {error}") from None
    for number, row in enumerate(rows, start=1):
        yield f"pocket:{name} row {number}", row
