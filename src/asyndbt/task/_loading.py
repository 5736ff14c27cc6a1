"""Examples from a source that the user names, checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyndbt._text import did_you_mean, listed, shorten
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._sources import Row, read_datasets, read_file, read_pocket
from asyndbt.task._task import Example, Task

MAX_CHARS = 20_000
"""Longest text of one field, without another setting."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def load_examples(
    source: str,
    task: Task,
    *,
    label_column: str = "label",
    site_column: str | None = None,
    site: str | None = None,
    columns: Mapping[str, str] | None = None,
    max_chars: int = MAX_CHARS,
    base: Path,
) -> list[Example]:
    """Read and check labelled examples.

    Parameters
    ----------
    source : str
        Path of a ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet`` file,
        ``datasets:NAME[/CONFIG][:SPLIT]``, or ``pocket:TASK/SPLIT``.
    task : Task
        Says which fields and labels there must be.
    label_column : str
        Column of the data label.
    site_column : str, optional
        Column that names the site of each row.
    site : str, optional
        Site of all rows, for sources of one site; not together with `site_column`.
    columns : mapping of str to str, optional
        Column per field, where a field of the instruction has another name in the data.
    max_chars : int
        Longest text of one field.
    base : pathlib.Path
        Folder that a path is relative to.

    Returns
    -------
    list of Example
        In the order of the source; never empty.

    Raises
    ------
    DataError
        At the first error; the message names file, line and field.
    ConfigError
        If the arguments contradict each other.

    Examples
    --------
    >>> import tempfile
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "train.jsonl"
    ...     _ = file.write_text('{"text_a": "I am happy", "label": 1}')
    ...     load_examples("train.jsonl", task, base=Path(folder))[0].origin
    'train.jsonl line 1'
    """
    if site is not None and site_column is not None:
        raise ConfigError(f"site {site!r} and site_column {site_column!r}: give one of the two")
    by_field = {name: name for name in task.fields} | _known_columns(columns, task)
    for name, column in by_field.items():
        if column == label_column:
            raise ConfigError(
                Setting("columns"),
                f": field {name!r} of the instruction is the label column"
                f" {label_column!r}; the prompt would tell the answer: use another name",
            )
    reader = _RowReader(task, by_field, label_column, site_column, site, max_chars)
    examples = [reader.example(row) for row in _rows(source, task, base)]
    if not examples:
        raise DataError(f"{source}: it holds no examples; give it at least one row")
    return examples


def read_text(origin: str, values: Mapping[str, Any], column: str, max_chars: int) -> str:
    """Return the checked text of one field of a row.

    Parameters
    ----------
    origin : str
        Of the row, for the message.
    values : mapping
        The row, by column.
    column : str
    max_chars : int
        Longest text.

    Raises
    ------
    DataError
        If there is no such column, or its value is not a text, empty, too long, or not valid in
        UTF-8.
    """
    value, where = _value(origin, values, column), f"{origin}, column {column!r}"
    if not isinstance(value, str):
        raise DataError(f"{where}: found {_found(value)}, not text; write it as text in quotes")
    if not value.strip():
        raise DataError(f"{where}: the text is empty; fill it in or remove the row")
    if len(value) > max_chars:
        raise DataError(
            f"{where}: the text has {len(value):,} characters, {max_chars:,} are allowed;"
            " shorten it or raise ",
            Setting("max_chars"),
        )
    if _HALF_CHARACTER.search(value):
        raise DataError(
            f"{where}: the text holds half a character (a lone surrogate); repair its encoding"
        )
    return value


def _rows(source: str, task: Task, base: Path) -> Iterator[Row]:
    kind, colon, name = source.partition(":")
    if colon and kind == "datasets":
        return read_datasets(name, task.labels, base)
    if colon and kind == "pocket":
        return read_pocket(name)
    return read_file(base / source)


def _known_columns(columns: Mapping[str, str] | None, task: Task) -> dict[str, str]:
    for name in columns or {}:
        if name not in task.fields:
            raise ConfigError(
                Setting("columns"),
                f": the instruction has no field {name!r}, only {listed(task.fields)}"
                f"{did_you_mean(name, task.fields)}",
            )
    return dict(columns or {})


@dataclass(frozen=True)
class _RowReader:
    task: Task
    columns: Mapping[str, str]
    label_column: str
    site_column: str | None
    site: str | None
    max_chars: int

    def example(self, row: Row) -> Example:
        origin, values = row
        fields = {
            name: read_text(origin, values, column, self.max_chars)
            for name, column in self.columns.items()
        }
        if self.label_column not in values:
            raise DataError(
                f"{origin}: there is no column {self.label_column!r}, only {listed(values)}"
                f"{did_you_mean(self.label_column, values)}; ",
                Setting("label_column"),
                " names the one with the labels",
            )
        label = self._label(origin, values[self.label_column])
        return Example(fields, label, self._site(origin, values), origin)

    def _label(self, origin: str, value: Any) -> str:
        where = f"{origin}, column {self.label_column!r}"
        text = _scalar(where, value)
        # true is True in Python and true in JSON, TOML and CSV: both spellings are meant.
        for spelling in (text, text.lower()) if isinstance(value, bool) else (text, text.strip()):
            if spelling in self.task.labels:
                return spelling
        raise DataError(
            f"{where}: unknown label {text!r}; the task has {listed(self.task.labels)}"
            f"{did_you_mean(text, self.task.labels)}"
        )

    def _site(self, origin: str, values: Mapping[str, Any]) -> str | None:
        if self.site_column is None:
            return self.site
        where = f"{origin}, column {self.site_column!r}"
        name = _scalar(where, _value(origin, values, self.site_column)).strip()
        if not name:
            raise DataError(f"{where}: the site is empty; name the site")
        return name


def _value(origin: str, values: Mapping[str, Any], column: str) -> Any:
    try:
        return values[column]
    except KeyError:
        raise DataError(
            f"{origin}: there is no column {column!r}, only {listed(values)}"
            f"{did_you_mean(column, values)}"
        ) from None


def _scalar(where: str, value: Any) -> str:
    # Many tools write a column of whole numbers with a gap as 0.0, 1.0.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int):
        raise DataError(f"{where}: found {_found(value)}; write a text or a whole number")
    return str(value)


def _found(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {shorten(value)}"
