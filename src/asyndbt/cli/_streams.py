"""Standard output and standard error that no text can break, whatever their encoding."""

from __future__ import annotations

import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

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
