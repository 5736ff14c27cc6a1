"""Dividing a budget among sites."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from asyndbt.errors import BudgetError
from asyndbt.lm.budget import FIELDS, Limits, amount_text
from asyndbt.lm.protocol import Usage

__all__ = ["split_limits"]

_LOWER = "or lower method.random_icl_draws, method.confirm_candidates or data.validation_per_class"


def split_limits(total: Limits, per_site: Limits, needs: Mapping[str, Usage]) -> dict[str, Limits]:
    """Divide a budget among sites: first what each needs, then equal shares of what is left.

    Calls and tokens are divided as integers, the remainder going one by one to the first sites in
    the order of their names.

    Parameters
    ----------
    total : Limits
        Caps on all sites together.
    per_site : Limits
        Caps on each site.
    needs : mapping of str to Usage
        By site: the least it must be able to spend (its evaluation and one step).

    Raises
    ------
    BudgetError
        If the total, or a site's cap, does not cover the needs.

    Examples
    --------
    >>> needs = {"north": Usage(calls=10), "south": Usage(calls=30)}
    >>> shares = split_limits(Limits(calls=101), Limits(calls=60), needs)
    >>> shares["north"].calls, shares["south"].calls
    (41, 60)
    """
    shares = {
        field: _split(field, total.cap(field), per_site.cap(field), needs) for field in FIELDS
    }
    return {
        name: Limits.of({field: shares[field][name] for field in FIELDS}) for name in sorted(needs)
    }


def _split(
    field: str, total: float | None, cap: float | None, needs: Mapping[str, Usage]
) -> dict[str, float | None]:
    """Shares of one cap by site."""
    least: dict[str, float] = {name: getattr(needs[name], field) for name in sorted(needs)}
    if cap is not None and max(least.values(), default=0) > cap:
        lacking = ", ".join(
            f"{name!r} needs at least {amount_text(need, field)}"
            for name, need in least.items()
            if need > cap
        )
        raise BudgetError(
            f"budget per site: {lacking} and may spend {amount_text(cap, field)}; "
            f"raise budget.per_site.{field}, {_LOWER}"
        )
    if total is None:
        return dict.fromkeys(least, cap)
    required = math.fsum(least.values())
    if required > total:
        each = ", ".join(f"{name} {amount_text(need, field)}" for name, need in least.items())
        raise BudgetError(
            f"budget: the sites need at least {amount_text(required, field)} ({each}) and the "
            f"total is {amount_text(total, field)}; raise budget.{field}, {_LOWER}"
        )
    extras = _equal_parts(field, total - required, len(least))
    shares = {name: need + extra for (name, need), extra in zip(least.items(), extras, strict=True)}
    return {name: share if cap is None else min(share, cap) for name, share in shares.items()}


def _equal_parts(field: str, amount: float, parts: int) -> Sequence[float]:
    if field == "money":
        return [amount / parts] * parts
    share, rest = divmod(int(amount), parts)
    return [share + (index < rest) for index in range(parts)]
