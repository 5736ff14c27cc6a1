"""Error messages in terms of the configuration file: the key, the given value, the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asyndbt._section import NESTED, Section, SettingError
from asyndbt._text import did_you_mean, nearest, quoted
from asyndbt.config._schema import SITE, reference_tables
from asyndbt.config._toml import format_key, format_value
from asyndbt.errors import AsyndbtError, Setting

_EXPECTED = {
    "bool_type": "write true or false, without quotes",
    "dict_type": "this is a table: write [{key}] and its keys below",
    "finite_number": "use a finite number",
    "float_type": "use a number, without quotes",
    "int_from_float": "use a whole number",
    "int_type": "use a whole number, without quotes",
    "model_type": "this is a table: write [{key}] and its keys below",
    "string_too_short": "use a text that is not empty",
    "string_type": "use a text, in quotes",
}
_BOUNDS = {
    "greater_than": ("gt", "use more than {}"),
    "greater_than_equal": ("ge", "use {} or more"),
    "less_than": ("lt", "use less than {}"),
    "less_than_equal": ("le", "use {} or less"),
}

_KEYS = {
    "a shorter prompt": "fewer method.demonstrations_per_class (or _total), a shorter "
    "method.fragment_length or a smaller data.max_chars",
    "alpha": "data.partition.alpha",
    "columns": "data.columns",
    "costs": "task.costs",
    "instruction": "task.instruction",
    "judge": "task.judge.prompt",
    "kind": "data.partition.kind",
    "label_column": "data.label_column",
    "labels": "task.labels",
    "max_chars": "data.max_chars",
    "need less": "lower method.draws, method.batch_size, method.confirm_candidates or "
    "method.validations",
    "pattern": "task.pattern",
    "per_class": "method.demonstrations_per_class",
    "per_site.calls": "budget.per_site.calls",
    "per_site.money": "budget.per_site.money",
    "per_site.tokens": "budget.per_site.tokens",
    "pool_per_class": "data.pool_per_class",
    "reward": "task.reward",
    "sites": "data.partition.sites",
    "template": "task.template",
    "total": "method.demonstrations_total",
    "total.calls": "budget.calls",
    "total.money": "budget.money",
    "total.tokens": "budget.tokens",
    "train_per_class": "data.train_per_class",
    "validation_per_class": "data.validation_per_class",
}
"""Keys of the file by the names that other sub-packages give settings in their errors."""


@contextmanager
def toml_keys() -> Iterator[None]:
    """Replace each `Setting` in errors raised inside by its key; also a decorator."""
    try:
        yield
    except AsyndbtError as error:
        error.args = tuple(
            _KEYS.get(part, part) if isinstance(part, Setting) else part for part in error.args
        )
        raise


def explain_errors(error: ValidationError, model: type[Section], source: str | None) -> str:
    """Return one line per problem that pydantic found in `model`, each headed by `source`."""
    head = f"{source}: " if source else ""
    lines = [head + _line(details, model) for details in error.errors(include_url=False)]
    return "\n".join(dict.fromkeys(lines))


def _line(details: ErrorDetails, model: type[Section]) -> str:
    # pydantic reports a wrong key of a mapping below "[key]".
    path = [str(part) for part in details["loc"] if part not in ("[key]", NESTED)]
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, model)
    if kind == "missing":
        return f"{_join(path)} is missing: give it a value"
    problem = context.get("error")
    if isinstance(problem, SettingError):
        path += problem.key.split(".") if problem.key else []
        return f"{_join(path)} {problem.text}"
    remedy = str(problem) if problem else _remedy(kind, context, path, details)
    return f"{_join(path)} = {_shown(details['input'])}: {remedy}"


def _remedy(kind: str, context: dict[str, Any], path: Sequence[str], details: ErrorDetails) -> str:
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return text.format(f"{context[name]:g}")
    if kind == "literal_error":
        choices = context["expected"].replace("'", '"')
        known = re.findall('"(.*?)"', choices)
        return f"use {choices}{did_you_mean(str(details['input']), known, quoted)}"
    return _EXPECTED.get(kind, details["msg"]).format(key=_join(path))


def _unknown(path: list[str], model: type[Section]) -> str:
    siblings, elsewhere = [], []
    for known in _known(model):
        if len(known) == len(path) and all(
            a in (SITE, b) for a, b in zip(known[:-1], path[:-1], strict=True)
        ):
            siblings.append(known[-1])
        elsewhere += [known] if known[-1] == path[-1] else []
    said = f"{_join(path)} is not a known key"
    if elsewhere:
        return f"{said}: did you mean {_join(elsewhere[0])}?"
    if meant := nearest(path[-1], siblings):
        return f"{said}: did you mean {_join([*path[:-1], meant])}?"
    place = f"[{_join(path[:-1])}] knows" if path[:-1] else "the tables are"
    return f"{said}: {place} {', '.join(dict.fromkeys(siblings))}"


def _known(model: type[Section]) -> Iterator[tuple[str, ...]]:
    for table in reference_tables(model):
        yield table.path[:-1] if table.path[-1] == SITE else table.path
        for key in table.keys:
            yield (*table.path, key.name)


def _join(path: Sequence[str]) -> str:
    return ".".join(map(format_key, path))


def _shown(value: object) -> str:
    text = format_value(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
