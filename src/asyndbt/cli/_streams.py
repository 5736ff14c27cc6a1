"""Standard output and standard error that no text can break, whatever their encoding."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from io import BufferedIOBase, TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any, Final, TextIO

from asyndbt.errors import DataError
from asyndbt.task import json_row

Row = tuple[str, Mapping[str, Any]]

_CHUNK: Final = 2**16
"""Bytes that are read at once, if they are there."""
_BATCH: Final = 64
"""Most lines that are answered together."""

UNWRITABLE: Final = "backslashreplace"
"""What becomes of a character that an encoding lacks; in a JSON text its escape is JSON's."""


def make_lenient() -> None:
    r"""Let the standard streams escape what they cannot write, as ``\xf6``, and never fail at it.

    A redirected stream has the encoding of the machine's locale, and names of sites or texts need
    not fit. A stream that is closed is replaced by one that is not read.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=UNWRITABLE)


def abandon_stdout() -> None:
    """Write no more to a standard output that takes nothing: Python would complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def json_line(value: Any, stream: TextIO) -> str:
    """Return a value as a line of JSON, in ASCII where the stream lacks characters.

    Values that JSON lacks become texts.
    """
    unicode = (stream.encoding or "utf-8").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode, default=str) + "\n"


def batches_of_lines(stream: BufferedIOBase, column: str | None) -> Iterator[list[Row]]:
    """Yield the rows on the lines of a stream, as many at a time as are there, and few enough.

    Parameters
    ----------
    column : str or None
        The column that a whole line is the text of; None for lines of JSON.

    Raises
    ------
    DataError
        If a line is not UTF-8, or not a JSON object.
    """
    numbers, rest, ended = count(1), b"", False
    while not ended:
        chunk = stream.read1(_CHUNK)  # what is there by now
        ended = not chunk
        *lines, rest = (rest + chunk).split(b"\n") if chunk else (rest, b"")
        rows = (_row(f"line {next(numbers)}", line, column) for line in lines)
        there = [row for row in rows if row is not None]
        for start in range(0, len(there), _BATCH):
            yield there[start : start + _BATCH]


def _row(origin: str, line: bytes, column: str | None) -> Row | None:
    """Return the row on a line; None for a blank one."""
    try:
        text = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"{origin}: byte {line[error.start]:#04x} is not UTF-8") from None
    if not text.strip():
        return None
    return origin, json_row(origin, text) if column is None else {column: text}
