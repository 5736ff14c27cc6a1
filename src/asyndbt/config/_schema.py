"""The keys of a configuration, read from its models: for messages, docs/config.md and ``init``."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from asyndbt._section import OneOf, Section
from asyndbt._text import quoted
from asyndbt.config._toml import format_value

SITE = "NAME"
"""Placeholder of a site's name in the path of a table."""

_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
_WIDTH = 96
_UNSET = object()

_HEAD = """\
# A configuration of asyndbt that runs as it stands:  asyndbt run THIS-FILE
# In a line "# key = value", the value is an example: remove the "# " to set it, there and at the
# "# [table]" that the key belongs to, if it has one. Keys and tables that are set are changed
# where they stand: TOML allows each only once.
"""


@dataclass(frozen=True, slots=True)
class ReferenceKey:
    """One key of a table; `kind` describes its values, `example` is one that is not the default."""

    name: str
    kind: str
    required: bool
    default: Any
    description: str
    example: Any


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """One table, or the keys of one variant, which the key and value in `choice` select."""

    path: tuple[str, ...]
    title: str
    keys: tuple[ReferenceKey, ...]
    choice: tuple[str, str] | None = None


def reference_tables(model: type[Section], path: tuple[str, ...] = ()) -> Iterator[ReferenceTable]:
    """List the tables below a model at `path`, parents first, in the order of the fields."""
    keys, below = [], []
    for name, field in model.all_keys().items():
        inner = _inner(field.annotation)
        if inner is None:
            keys.append(_key(name, field))
        else:
            is_mapping, section = inner
            below.append((section, (*path, name, SITE) if is_mapping else (*path, name)))
    if path:
        yield ReferenceTable(path, _title(model), tuple(keys))
    for choice, variant in model.variants().items():
        options = tuple(_key(name, field) for name, field in variant.all_keys().items())
        if options:
            yield ReferenceTable(path, _title(variant), options, choice)
    for section, where in below:
        yield from reference_tables(section, where)


def reference_markdown(model: type[Section]) -> str:
    """Return the reference of all keys below a model as Markdown tables."""
    parts = []
    for table in reference_tables(model):
        name = f"[{'.'.join(table.path)}]"
        if table.choice:
            name += f" {table.choice[0]} = {format_value(table.choice[1])}"
        rows = [f"### `{name}`", "", f"{_capital(table.title)}.", ""]
        rows += ["| key | value | default | what it does |", "|---|---|---|---|"]
        rows += [
            f"| `{key.name}` | {_escape(key.kind)} | {_default(key)} | {_escape(key.description)} |"
            for key in table.keys
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def starter_toml(model: type[Section], values: Mapping[str, Any]) -> str:
    """Return a commented configuration file that sets `values`, nested tables.

    Every key has a line on what it does, its default, and an example in a comment. A key that is
    set has it on the same line, so that removing the mark of a comment sets no key twice.
    """
    return "\n".join([_HEAD, *(_block(table, values) for table in reference_tables(model))])


def _block(table: ReferenceTable, values: Mapping[str, Any]) -> str:
    given = values
    for part in table.path:
        given = given.get(part) or {}
    if table.choice is None:
        chosen = True
        is_set = len(table.path) == 1 or bool(given)
        header = f"[{'.'.join('north' if part == SITE else part for part in table.path)}]"
        lines = [f"# ---- {_capital(table.title)}.", header if is_set else f"# {header}"]
    else:
        name, value = table.choice
        chosen = given.get(name) == value
        lines = [f"# ---- With {name} = {format_value(value)}: {table.title}."]
    for key in table.keys:
        lines += _entry(key, given.get(key.name, _UNSET) if chosen else _UNSET)
    return "\n".join(lines) + "\n"


def _entry(key: ReferenceKey, value: object) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(key.description, _WIDTH, initial_indent="# ", subsequent_indent="#   ")
    if key.required:
        default = "required"
    else:
        default = "" if key.default in (None, {}) else f"default: {format_value(key.default)}"
    example = "..." if key.example is None else format_value(key.example)
    if value is _UNSET:
        yield f"# {key.name} = {example}{_remark(default)}"
    else:
        other = "" if value == key.example else f"e.g. {example}"
        yield f"{key.name} = {format_value(value)}{_remark(default, other)}"


def _remark(*parts: str) -> str:
    """Return a comment at the end of a line, or nothing."""
    text = "; ".join(filter(None, parts))
    return f"  # {text}" if text else ""


def _key(name: str, field: FieldInfo) -> ReferenceKey:
    extra = field.json_schema_extra
    kind = extra.get("kind") if isinstance(extra, dict) else None
    for choice in field.metadata:
        if isinstance(choice, OneOf):
            kind = " or ".join(map(quoted, choice.names()))
    return ReferenceKey(
        name=name,
        kind=str(kind) if kind else _kind(field.annotation),
        required=field.is_required(),
        default=None if field.is_required() else field.default,
        description=field.description or "",
        example=field.examples[0] if field.examples else None,
    )


def _title(model: type[Section]) -> str:
    # The docstring of a table is "[table]: title.".
    return (model.__doc__ or "").split("\n")[0].partition(": ")[2].rstrip(".")


def _plain(annotation: Any) -> Any:
    """Strip ``| None`` and ``Annotated`` from an annotation."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [item for item in get_args(annotation) if item is not type(None)]
        return _plain(rest[0]) if len(rest) == 1 else annotation
    return _plain(get_args(annotation)[0]) if hasattr(annotation, "__metadata__") else annotation


def _inner(annotation: Any) -> tuple[bool, type[Section]] | None:
    """Return (is a table of tables, its model) if a key is a table."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, Section):
        return False, plain
    if get_origin(plain) is dict:
        value = get_args(plain)[1]
        if isinstance(value, type) and issubclass(value, Section):
            return True, value
    return None


def _kind(annotation: Any) -> str:
    plain = _plain(annotation)
    if get_origin(plain) is Literal:
        return " or ".join(map(format_value, get_args(plain)))
    return _WORDS.get(plain, "table")


def _default(key: ReferenceKey) -> str:
    if key.required:
        return "required"
    return "" if key.default is None else f"`{format_value(key.default)}`"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
