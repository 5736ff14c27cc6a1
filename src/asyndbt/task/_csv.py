"""CSV as programs and spreadsheets write it: any separator, long texts, empty headings and rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from asyndbt._spelling import composed
from asyndbt._text import counted
from asyndbt.errors import DataError

_SEPARATORS: Final = ",;\t|"
_LONGEST: Final = 2**31 - 1
"""Longest cell: the largest number that the library takes on every system."""


def read_csv(path: Path, usual: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows of a CSV file in UTF-8, with or without a byte order mark.

    Blank rows are skipped, and columns without a heading.

    Parameters
    ----------
    path : pathlib.Path
    usual : str
        Separator that the name of the file promises; another one is read where it divides the
        heading into more columns, or where the first line names it, as ``sep=;``.

    Yields
    ------
    origin : str
        File name and the line where the row begins, counted from 1.
    row : dict
        Text per column.

    Raises
    ------
    DataError
        If a row cannot be read, or two columns have the same heading.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        separator, skipped = _separator(lines, usual)
        records = _records(csv.reader(lines, delimiter=separator, strict=True), path.name, skipped)
        header = _Header(separator)
        for origin, last, cells in records:
            if not header.names:
                header.take(origin, cells)
            else:
                yield origin, header.row(origin, last, cells)


def _separator(lines: TextIO, usual: str) -> tuple[str, int]:
    """Return the separator, and how many lines stand before the heading; leave the file there."""
    first = lines.readline()
    if named := re.fullmatch(r"sep=(.)\s*", first):
        return named[1], 1
    lines.seek(0)
    return max((usual, *_SEPARATORS), key=lambda separator: _columns(first, separator)), 0


def _columns(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator, strict=True), ()))
    except csv.Error:
        return 0


def _records(reader: Any, file: str, skipped: int) -> Iterator[tuple[str, int, list[str]]]:
    """Yield origin, last line and cells of every record that is not blank."""
    while True:
        origin = f"{file} line {reader.line_num + skipped + 1}"
        # The limit is one for the whole process: it is as it was in between.
        usual = csv.field_size_limit(_LONGEST)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            last = reader.line_num + skipped
            raise DataError(f"{origin}: {_fault(error)}{_span(origin, last)}") from None
        finally:
            csv.field_size_limit(usual)
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield origin, reader.line_num + skipped, cells


def _fault(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote that opens in this row is never closed; close it, or double it in a text"
    if "expected after" in str(error):
        return (
            "text follows a closing quote; put a whole text in double quotes, and double the "
            "quotes in it"
        )
    return f"{error}; repair or remove the row"


def _span(origin: str, last: int) -> str:
    """Say how far a row reaches that has line breaks in it: it may be meant to be several."""
    return "" if origin.endswith(f" {last}") else f" (the row goes on to line {last})"


class _Header:
    """Names of columns by position, and what reads a row by them."""

    def __init__(self, separator: str) -> None:
        self._separator, self._width = separator, 0
        self.names: dict[int, str] = {}

    def take(self, origin: str, cells: Sequence[str]) -> None:
        """Take the headings of columns that have one."""
        self._width = len(cells)
        for index, cell in enumerate(cells):
            name = composed(cell.strip())
            if name in self.names.values():
                raise DataError(f"{origin}: two columns are called {name!r}; rename one")
            if name:
                self.names[index] = name

    def row(self, origin: str, last: int, cells: list[str]) -> dict[str, str]:
        """Return the cells by column; those beyond the headings must be empty."""
        surplus = any(cell.strip() for cell in cells[self._width :])
        if surplus or len(cells) <= max(self.names):
            remedy = (
                f"put texts that contain {self._separator!r}, quotes or line breaks in double "
                "quotes"
            )
            raise DataError(
                f"{origin}: {counted(len(cells), 'value')} for {counted(self._width, 'column')}; "
                f"{remedy}{_span(origin, last)}"
            )
        return {name: cells[index] for index, name in self.names.items()}
