"""Numbers inside messages: two small records, and what a value may be to be let in.

Every number is bounded, so that no arithmetic on what a site reports can overflow or leave the
range of a float: integers and records lie in 0..2^53, other numbers in -2^53..2^53.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

from asyndbt.errors import MessageError
from asyndbt.optim import FloatArray, IntArray

__all__ = ["BOUND", "RECORDS", "Score", "Spent", "checked", "shown"]

BOUND = 2**53
_SITE_NAME = re.compile(r"\w[\w .-]*")


@dataclass(frozen=True, slots=True)
class Spent:
    """A site's figures since the start of the run: what was asked, sent, and had to be paid.

    `calls`, tokens and money are what the budget was charged for; of the `requests`, `cached` ones
    needed no sending; `sent` counts what the provider got; `failed` prompts were given up,
    `refused` ones the provider will not answer, and `unparsed` answers name no label.
    """

    calls: int = 0
    requests: int = 0
    cached: int = 0
    sent: int = 0
    failed: int = 0
    refused: int = 0
    unparsed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers out of `n` (`correct` may be a mean over draws), mean loss in nats."""

    correct: float = 0.0
    n: int = 0
    loss: float = 0.0
    spread: float = 0.0


RECORDS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in (Score, Spent)}


def checked(where: str, hint: Any, value: Any) -> Any:
    """Return a value in the type that its message declares.

    Parameters
    ----------
    where : str
        Kind of message and field, for the error's text.
    hint : Any
        Declared type.
    value : Any
        What came out of the bytes: JSON, or an array.

    Raises
    ------
    MessageError
        If the value is of another type or out of bounds.
    """
    if hint in RECORDS:
        return _record(where, hint, value)
    if hint in (FloatArray, IntArray):
        wanted = np.float64 if hint == FloatArray else np.int64
        if not isinstance(value, np.ndarray) or value.dtype != wanted:
            raise MessageError(f"{where} is not an array of {wanted.__name__}")
        if not np.isfinite(value).all():
            raise MessageError(f"{where} is not finite")
        return value
    return _scalar(where, hint, value, least=0 if hint is int else -BOUND)


def _record(where: str, kind: type, value: Any) -> Any:
    hints = RECORDS[kind]
    if not isinstance(value, list) or len(value) != len(hints):
        raise MessageError(f"{where} is not a {kind.__name__}")
    named = zip(hints.items(), value, strict=True)
    record = kind(*(_scalar(f"{where}.{name}", hint, v, least=0) for (name, hint), v in named))
    if isinstance(record, Score) and record.correct > record.n:
        raise MessageError(f"{where}: {record.correct} right answers of {record.n}")
    return record


def _scalar(where: str, hint: Any, value: Any, least: int) -> Any:
    if not (type(value) is hint or (hint is float and type(value) is int)):
        raise MessageError(f"{where} is {shown(value)}, not a {hint.__name__}")
    if hint in (int, float) and not least <= value <= BOUND:
        raise MessageError(f"{where} is not a number in {least}..2^53")
    if hint is str and len(value) > 200:
        raise MessageError(f"{where} is longer than 200 characters")
    if where.endswith(".site") and not _SITE_NAME.fullmatch(value):
        raise MessageError(f"{where} is not a site's name: letters, digits, spaces and . _ - only")
    return float(value) if hint is float else value


def shown(value: Any) -> str:
    """Return what an error's text says of a value that should not be: of texts, lists only that."""
    return repr(value) if type(value) in (bool, float) else f"of type {type(value).__name__}"
