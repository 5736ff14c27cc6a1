"""Examples from a source that the user names, checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from asyndbt._spelling import common_spelling, composed, is_missing, plain_value, scalar_text
from asyndbt._text import did_you_mean, listed, shorten
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._example import Example
from asyndbt.task._sources import Row, read_datasets, read_file, read_pocket
from asyndbt.task._task import Task

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
        Column of the data label, or of the expected answer.
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
    return _text(f"{origin}, column {column!r}", _value(origin, values, column), max_chars)


def read_answer(origin: str, values: Mapping[str, Any], column: str, max_chars: int) -> str:
    """Return the expected answer in a row: a text as `read_text` does, or a number as text."""
    value = plain_value(_value(origin, values, column))
    if isinstance(value, int | float | Decimal) and not is_missing(value):
        value = scalar_text(value) or str(value)
    return _text(f"{origin}, column {column!r}", value, max_chars)


def _text(where: str, value: Any, max_chars: int) -> str:
    if is_missing(value):
        raise DataError(f"{where}: the text is empty; fill it in or remove the row")
    if not isinstance(value, str):
        raise DataError(f"{where}: found {_found(value)}, not text; write it as text in quotes")
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
        return Example(fields, self._label(origin, values), self._site(origin, values), origin)

    def _label(self, origin: str, values: Mapping[str, Any]) -> str:
        if self.task.reward is not None:
            return read_answer(origin, values, self.label_column, self.max_chars)
        where = f"{origin}, column {self.label_column!r}"
        hint = "; ", Setting("label_column"), " names the one with the labels"
        text = _scalar(where, _value(origin, values, self.label_column, hint), "label")
        if text in self.task.labels:
            return text
        try:
            return self._by_spelling[common_spelling(text)]
        except KeyError:
            raise DataError(
                f"{where}: unknown label {text!r}; the task has {listed(self.task.labels)}"
                f"{did_you_mean(text, self.task.labels)}"
            ) from None

    @cached_property
    def _by_spelling(self) -> Mapping[str, str]:
        """Labels by what their spellings have in common, where no two labels have the same."""
        spellings = Counter(map(common_spelling, self.task.labels))
        known = {common_spelling(label): label for label in self.task.labels}
        return {spelling: known[spelling] for spelling, count in spellings.items() if count == 1}

    def _site(self, origin: str, values: Mapping[str, Any]) -> str | None:
        if self.site_column is None:
            return self.site
        where = f"{origin}, column {self.site_column!r}"
        value = _value(origin, values, self.site_column)
        return common_spelling(_scalar(where, value, "site"))


def _value(origin: str, values: Mapping[str, Any], column: str, hint: tuple[str, ...] = ()) -> Any:
    if column in values:
        return values[column]
    for name in values:
        if composed(str(name)) == composed(column):
            return values[name]
    raise DataError(
        f"{origin}: there is no column {column!r}, only {listed(values)}"
        f"{did_you_mean(column, values)}",
        *hint,
    )


def _scalar(where: str, value: Any, what: str) -> str:
    if is_missing(value):
        raise DataError(f"{where}: the {what} is empty; fill it in or remove the row")
    text = scalar_text(value)
    if text is None:
        raise DataError(f"{where}: found {_found(value)}; write a text or a whole number")
    return text


def _found(value: Any) -> str:
    return f"{type(value).__name__} {shorten(value)}"
