"""Rounding of what a site reports: two digits, where a float64 would be a fingerprint.

Which rows a mean loss was taken over can often be told from its sixteen digits, by whoever has the
rows and the model. Two decimals are the fewest that leave the comparison of fragments what it is
(``docs/privacy.md``). Of entropies two significant digits are left, since a setting may name a
small one. Policies and effects, which are the work itself, and the money spent, which
follows from the tokens, stay as they are.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final, TypeVar

import numpy as np

from asyndbt.federation._messages import Report
from asyndbt.scoring import Score

DECIMALS: Final = 2
_EXACT: Final = frozenset({"p", "effects", "precisions"})
_SIGNIFICANT: Final = frozenset({"entropy_q", "entropy_q_max"})

_Record = TypeVar("_Record", Report, Score)


def rounded(record: _Record) -> _Record:
    """Return a report, or a score, with every loss, entropy, mean and spread rounded.

    Examples
    --------
    >>> rounded(Score(correct=2.0, n=3, loss=0.123456))
    Score(correct=2.0, n=3, loss=0.12, spread=0.0)
    """
    values = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in _EXACT}
    significant = {name: float(f"{values[name]:.2g}") for name in _SIGNIFICANT & values.keys()}
    return replace(record, **{k: _rounded(v) for k, v in values.items()} | significant)


def _rounded(value: Any) -> Any:
    match value:
        case Score():
            return rounded(value)
        case float():
            return round(value, DECIMALS)
        case np.ndarray() if value.dtype == np.float64:
            return np.round(value, DECIMALS)
    return value
