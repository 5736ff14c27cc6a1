"""A commented configuration file that names every key: what ``asyndbt init`` writes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from asyndbt.config._config import Config
from asyndbt.config._schema import SITE, ReferenceKey, ReferenceTable, reference_tables
from asyndbt.config._toml import format_value

__all__ = ["starter_toml"]

_WIDTH = 96
_UNSET = object()

_HEAD = """\
# A configuration of asyndbt that runs as it stands:  asyndbt run THIS-FILE
# In a line "# key = value", the value is an example: remove the "# " to set it.
"""


def starter_toml(values: Mapping[str, Any]) -> str:
    """Write a configuration file that sets some keys and explains all of them.

    Parameters
    ----------
    values : mapping
        The keys to set, as nested tables.

    Returns
    -------
    str
        TOML; every key has a line on what it does, its default, and another value in a comment.
    """
    blocks = [_HEAD, *(_block(table, values) for table in reference_tables(Config))]
    return "\n".join(blocks)


def _block(table: ReferenceTable, values: Mapping[str, Any]) -> str:
    given = _look_up(values, table.path)
    if table.choice:
        name, value = table.choice
        chosen = given.get(name) == value
        lines = [f"# ---- With {name} = {format_value(value)}: {table.title}."]
    else:
        chosen = True
        header = f"[{'.'.join('north' if part == SITE else part for part in table.path)}]"
        is_set = len(table.path) == 1 or bool(given)
        title = f"{table.title[:1].upper()}{table.title[1:]}."
        lines = [f"# ---- {title}", header if is_set else f"# {header}"]
    for key in table.keys:
        lines += _entry(key, given.get(key.name, _UNSET) if chosen else _UNSET)
    return "\n".join(lines) + "\n"


def _look_up(values: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    for part in path:
        values = values.get(part) or {}
    return values


def _entry(key: ReferenceKey, value: object) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(key.description, _WIDTH, initial_indent="# ", subsequent_indent="#   ")
    if key.required:
        default = "  # required"
    else:
        default = "" if key.default in (None, {}) else f"  # default: {format_value(key.default)}"
    if value is not _UNSET:
        yield f"{key.name} = {format_value(value)}{default}"
        default = ""
    if value != key.example:
        example = "..." if key.example is None else format_value(key.example)
        yield f"# {key.name} = {example}{default}"
