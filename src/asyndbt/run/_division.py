"""Division of a budget: among the sites, and at each between its test examples and tuning.

Of a budget b, in any of the capped quantities, the test examples of all sites get

    t = min( sum_v E_v,  max( s b, sum_v e_v ),  b - sum_v a_v )

and tuning the rest, with s the largest share of the test examples, E_v what all those of site v
cost, e_v what the first of them costs, and a_v the least with which the site can tune. Both grow
with b: more budget takes nothing from either. Of t a site gets e_v, and what is beyond sum e_v in
proportion to E_v - e_v; of the rest a_v, and an equal part of what is left. The cap of a site is
divided by the same formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Self

from asyndbt.lm import LIMITED, Limits, Usage, split_limits
from asyndbt.scoring import Needs


def divide_budget(
    total: Limits, per_site: Limits, needs: Mapping[str, Needs], share: float
) -> tuple[dict[str, Needs], dict[str, Limits]]:
    """Divide a budget.

    Parameters
    ----------
    total, per_site : Limits
        Caps on all sites together, and on each.
    needs : mapping of str to Needs
        By site, with all of its test examples.
    share : float
        s in (0, 1], the largest share that goes into test examples.

    Returns
    -------
    needs : dict of str to Needs
        By site, with the test examples that are covered: one or more, where there are any.
    limits : dict of str to Limits
        Caps by site.

    Raises
    ------
    BudgetError
        If it does not cover a local step, validations and a test example of every site.
    """
    split_limits(total, per_site, {name: need.least for name, need in needs.items()})
    caps = {field: (total.cap(field), per_site.cap(field)) for field in LIMITED}
    parts = {field: _divided(field, *both, needs, share) for field, both in caps.items()}
    tested, limits = dict[str, Needs](), dict[str, Limits]()
    for name, need in sorted(needs.items()):
        calls, tokens, money = (parts[field][name][0] for field in LIMITED)
        tested[name] = need.testing(Usage(int(calls), int(tokens), 0, money))
        both = {field: sum(parts[field][name]) for field in LIMITED}
        free = dict.fromkeys(field for field in LIMITED if caps[field] == (None, None))
        limits[name] = Limits.of({**both, **free})
    return tested, limits


@dataclass(frozen=True, slots=True)
class _Costs:
    """Of one quantity: all test examples, the first of them, and the least for tuning."""

    tests: float
    first: float
    tuning: float

    @classmethod
    def of(cls, need: Needs, field: str) -> Self:
        """Return the costs at one site."""
        return cls(*(getattr(u, field) for u in (need.evaluation, need.first_test, need.tuning)))

    def kept_of(self, budget: float, share: float) -> float:
        """Return t, what a budget leaves for test examples."""
        most = share * budget if isinstance(budget, float) else math.floor(share * budget)
        return min(self.tests, max(most, self.first), budget - self.tuning)


def _divided(
    field: str, total: float | None, cap: float | None, needs: Mapping[str, Needs], share: float
) -> dict[str, tuple[float, float]]:
    """Return by site what its test examples get of a quantity, and what its tuning gets."""
    costs = {name: _Costs.of(need, field) for name, need in needs.items()}
    kept, tuning = {name: c.tests for name, c in costs.items()}, dict.fromkeys(costs, math.inf)
    if total is not None:
        every = _Costs(*(sum(column) for column in zip(*map(astuple, costs.values()), strict=True)))
        together = every.kept_of(total, share)
        beyond, all_beyond = together - every.first, every.tests - every.first
        kept = {
            name: c.first + _part(beyond, c.tests - c.first, all_beyond)
            for name, c in costs.items()
        }
        rest = {**dict.fromkeys(LIMITED), field: max(total - together, every.tuning)}
        least = {name: need.tuning for name, need in needs.items()}
        parts = split_limits(Limits.of(rest), Limits(), least)
        tuning = {name: part.cap(field) or 0 for name, part in parts.items()}
    if cap is not None:
        most = {name: c.kept_of(cap, share) for name, c in costs.items()}
        kept = {name: min(kept[name], most[name]) for name in costs}
        tuning = {name: min(tuning[name], cap - most[name]) for name in costs}
    return {name: (kept[name], tuning[name]) for name in costs}


def _part(amount: float, part: float, whole: float) -> float:
    """Return the part of an amount that belongs to `part` of the `whole`; counts rounded down."""
    if amount >= whole:
        return part
    if isinstance(amount, int):
        return amount * part // whole
    return max(0.0, amount * part / whole)
