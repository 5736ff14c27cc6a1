"""TOML: files read with errors for the user, values written so that they read back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from asyndbt.errors import ConfigError

BACKSLASHES: Final = r"write a path with backslashes in single quotes, such as 'C:\data\new.csv'"


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Read a file, with or without a byte order mark.

    Parameters
    ----------
    path : Path
    remedy : str
        Where to get such a file, for the message if it does not exist.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not TOML in UTF-8.
    """
    text = ""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text in UTF-8: save it in that encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}{_remedy(text, str(error))}") from None


def _remedy(text: str, message: str) -> str:
    """Say what to do about a path of Windows in double quotes, if that is the fault."""
    found = re.search(r"at line (\d+)", message)
    lines = text.rstrip().split("\n")
    line = lines[int(found[1]) - 1] if found else lines[-1]
    return f"; {BACKSLASHES}" if "\\" in line else ""


def format_key(name: str) -> str:
    """Format a key, in quotes only if it needs them.

    Examples
    --------
    >>> format_key("draws"), format_key("north plant")
    ('draws', '"north plant"')
    """
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def format_value(value: object) -> str:
    """Format a value on one line; a mapping becomes an inline table.

    Examples
    --------
    >>> format_value({"0": "no", "1": 1e-4, "ok": True})
    '{ 0 = "no", 1 = 0.0001, ok = true }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, Mapping):
        inside = (f"{format_key(str(name))} = {format_value(item)}" for name, item in value.items())
        return f"{{ {', '.join(inside)} }}" if value else "{}"
    return _text(str(value))


def format_table(table: Mapping[str, Any]) -> str:
    """Format a mapping as a TOML document, values before tables, without keys that are None.

    Examples
    --------
    >>> print(format_table({"run": {"seed": 0}, "budget": {"calls": 10, "tokens": None}}), end="")
    [run]
    seed = 0
    <BLANKLINE>
    [budget]
    calls = 10
    """
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for name, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{format_key(name)} = {format_value(value)}"
    for name, value in table.items():
        if isinstance(value, Mapping):
            here = (*path, name)
            yield ""
            yield f"[{'.'.join(map(format_key, here))}]"
            yield from _lines(value, here)


def _text(value: str) -> str:
    needs_escapes = '"' in value or "\\" in value
    if needs_escapes and "'" not in value and value.isprintable():
        return f"'{value}'"
    # JSON's escapes are TOML's, except that TOML also wants the delete character escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
