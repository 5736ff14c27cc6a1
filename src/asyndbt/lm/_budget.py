"""Hard caps on calls, tokens and money, and their division among sites."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from asyndbt.errors import BudgetError, ConfigError, Setting
from asyndbt.lm._base import Usage

LIMITED: Final = ("calls", "tokens", "money")
"""Capped quantities: attributes of `Limits` and of `Usage`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on the cost of requests; None is no cap.

    Calls are requests that were answered, or may be charged although no answer came; tokens are
    sent and received ones; money is in the currency of the prices.

    Raises
    ------
    ConfigError
        If a cap is negative or not a number.
    """

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for field in LIMITED:
            cap = self.cap(field)
            if cap is not None and not cap >= 0:
                raise ConfigError(f"budget: {field} = {cap}; give a number >= 0, or leave it out")

    @classmethod
    def of(cls, caps: Mapping[str, float | None]) -> Self:
        """Limits from caps by field, calls and tokens as integers."""
        calls, tokens, money = (caps[field] for field in LIMITED)
        return cls(
            None if calls is None else int(calls), None if tokens is None else int(tokens), money
        )

    def after(self, spent: Usage) -> Limits:
        """Return what is left of the caps, never below 0."""
        return Limits.of(
            {
                field: None if cap is None else max(0, cap - _of(spent, field))
                for field, cap in _caps(self)
            }
        )

    def divided(self, parts: int) -> Limits:
        """Return an equal part of every cap."""
        return Limits.of(
            {field: None if cap is None else cap / parts for field, cap in _caps(self)}
        )

    def least(self, other: Limits) -> Limits:
        """Return the smaller of two caps for every quantity."""
        both = {field: (cap, other.cap(field)) for field, cap in _caps(self)}
        return Limits.of(
            {
                field: min((cap for cap in caps if cap is not None), default=None)
                for field, caps in both.items()
            }
        )

    def cap(self, field: str) -> float | None:
        value: float | None = getattr(self, field)
        return value


class BudgetExhausted(BudgetError):  # noqa: N818 - an end of the run, not a mistake
    """A batch of upper bound `needed` was not sent because it might exceed the budget `left`."""

    def __init__(self, needed: Usage, left: Limits) -> None:
        each = (
            f"{amount_text(_of(needed, field), field)} ({amount_text(cap, field)} left)"
            for field, cap in _caps(left)
            if cap is not None
        )
        super().__init__(f"the budget is used up: the next requests need up to {', '.join(each)}")
        self.needed = needed
        self.left = left


class Budget:
    """Caps with what was spent, reserved, and held for requests in flight.

    Concurrent batches never exceed a cap together, as long as the upper bounds of their requests
    hold.

    Examples
    --------
    >>> budget = Budget(Limits(calls=100))
    >>> budget.reserve("evaluation", Usage(calls=40))
    >>> with budget.hold(Usage(calls=50)):
    ...     budget.affords(Usage(calls=11)), budget.remaining().calls
    (False, 10)
    >>> budget.charge(Usage(calls=48))
    >>> budget.release("evaluation")
    >>> budget.remaining().calls
    52
    """

    def __init__(self, limits: Limits, spent: Usage | None = None) -> None:
        self.limits = limits
        self._spent = spent or Usage()
        self._reserved: dict[str, Usage] = {}
        self._in_flight: dict[object, Usage] = {}

    @property
    def spent(self) -> Usage:
        """Usage charged so far, in earlier sessions of the run too."""
        return self._spent

    def reserve(self, name: str, usage: Usage) -> None:
        """Reserve `usage` until `release`; a second reservation of a name replaces the first.

        Never fails: a resumed run may reserve for what is partly paid already.  `split_limits`
        checks whether a budget covers its needs.
        """
        self._reserved[name] = usage

    def release(self, name: str) -> None:
        self._reserved.pop(name, None)

    def affords(self, usage: Usage) -> bool:
        """Whether `usage` fits into what remains; an empty usage always does."""
        return not self.lacking(usage)

    def lacking(self, usage: Usage) -> dict[str, float]:
        """Return by how much `usage` exceeds what remains, by quantity where it does."""
        gone = self._gone()
        return {
            field: _of(gone, field) + _of(usage, field) - cap
            for field, cap in _caps(self.limits)
            if cap is not None
            and _of(usage, field) != 0
            and _of(gone, field) + _of(usage, field) > cap
        }

    @property
    def overdrawn(self) -> bool:
        """Whether lost requests, charged on top of what is held, have exceeded a cap."""
        gone = self._gone()
        return any(cap is not None and _of(gone, field) > cap for field, cap in _caps(self.limits))

    def remaining(self) -> Limits:
        """Return what is neither spent, nor reserved, nor in flight."""
        return self.limits.after(self._gone())

    def restate(self, spent: Usage) -> None:
        """Replace the usage charged so far, when a run continues from a checkpoint."""
        self._spent = spent

    def charge(self, usage: Usage) -> None:
        self._spent += usage

    @contextmanager
    def hold(self, bound: Usage) -> Iterator[Callable[[Usage], None]]:
        """Hold `bound` while requests are in flight; charge their actual usage inside.

        Yields a function that replaces the bound by that of the requests still in flight.  Raises
        `BudgetExhausted`, and holds nothing, if `bound` does not fit.
        """
        if not self.affords(bound):
            raise BudgetExhausted(bound, self.remaining())
        ticket = object()
        self._in_flight[ticket] = bound

        def narrow(rest: Usage) -> None:
            self._in_flight[ticket] = rest

        try:
            yield narrow
        finally:
            del self._in_flight[ticket]

    def _gone(self) -> Usage:
        return sum((*self._reserved.values(), *self._in_flight.values()), self._spent)


def _caps(limits: Limits) -> list[tuple[str, float | None]]:
    return [(field, limits.cap(field)) for field in LIMITED]


def _of(usage: Usage, field: str) -> float:
    value: float = getattr(usage, field)
    return value


def amount_text(amount: float, field: str) -> str:
    """Write an amount of one of `LIMITED` for a message."""
    return f"{amount:.4g} of money" if field == "money" else f"{amount:,.0f} {field}"


_LOWER = (", or ", Setting("need less"))


def split_limits(total: Limits, per_site: Limits, needs: Mapping[str, Usage]) -> dict[str, Limits]:
    """Divide a budget among sites: what each needs, then equal shares of the rest.

    Calls and tokens are divided as integers; the remainder goes one by one to the first sites by
    name.

    Parameters
    ----------
    total, per_site : Limits
        Caps on all sites together, and on each.
    needs : mapping of str to Usage
        By site: the least that it must be able to spend (its evaluation and one step).

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
        field: _split(field, total.cap(field), per_site.cap(field), needs) for field in LIMITED
    }
    return {
        name: Limits.of({field: shares[field][name] for field in LIMITED}) for name in sorted(needs)
    }


def _split(
    field: str, total: float | None, cap: float | None, needs: Mapping[str, Usage]
) -> dict[str, float | None]:
    least: dict[str, float] = {name: getattr(needs[name], field) for name in sorted(needs)}
    if cap is not None and max(least.values(), default=0) > cap:
        lacking = ", ".join(
            f"{name!r} needs at least {amount_text(need, field)}"
            for name, need in least.items()
            if need > cap
        )
        raise BudgetError(
            f"budget per site: {lacking} and may spend {amount_text(cap, field)}; raise ",
            Setting(f"per_site.{field}"),
            *_LOWER,
        )
    if total is None:
        return dict.fromkeys(least, cap)
    required = math.fsum(least.values())
    if required > total:
        each = ", ".join(f"{name} {amount_text(need, field)}" for name, need in least.items())
        raise BudgetError(
            f"budget: the sites need at least {amount_text(required, field)} ({each}) and the "
            f"total is {amount_text(total, field)}; raise ",
            Setting(f"total.{field}"),
            *_LOWER,
        )
    extras = _equal_parts(field, total - required, len(least))
    shares = {name: need + extra for (name, need), extra in zip(least.items(), extras, strict=True)}
    return {name: share if cap is None else min(share, cap) for name, share in shares.items()}


def _equal_parts(field: str, amount: float, parts: int) -> Sequence[float]:
    if field == "money":
        return [amount / parts] * parts
    share, rest = divmod(int(amount), parts)
    return [share + (index < rest) for index in range(parts)]
