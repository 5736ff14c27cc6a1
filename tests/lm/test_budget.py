import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import BudgetError, ConfigError
from asyndbt.lm import Budget, BudgetExhausted, Limits, Usage, split_limits

CAPS = st.builds(
    Limits,
    st.none() | st.integers(0, 500),
    st.none() | st.integers(0, 5000),
    st.none() | st.floats(0, 50, allow_nan=False),
)
NEEDS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.builds(
        Usage,
        st.integers(0, 60),
        st.integers(0, 300),
        st.integers(0, 60),
        st.floats(0, 5, allow_nan=False),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(
    ("limits", "fits", "too_much"),
    [
        (Limits(calls=10), Usage(10, 999, 999, 9.0), Usage(calls=11)),
        (Limits(tokens=10), Usage(99, 6, 4, 9.0), Usage(99, 6, 5)),
        (Limits(money=0.5), Usage(99, 99, 99, 0.5), Usage(money=0.6)),
    ],
)
def test_each_cap_binds_alone(limits: Limits, fits: Usage, too_much: Usage) -> None:
    budget = Budget(limits)
    assert budget.affords(fits)
    assert not budget.affords(too_much)


def test_no_limits_afford_everything() -> None:
    budget = Budget(Limits(), Usage(10**9, 10**12, 0, 1e9))
    assert budget.affords(Usage(10**9, 10**12, 0, 1e9))
    assert budget.remaining() == Limits()


def test_what_is_reserved_is_kept_from_others_until_released() -> None:
    budget = Budget(Limits(calls=100), spent=Usage(calls=30))
    budget.reserve("evaluation", Usage(calls=50))
    assert budget.remaining() == Limits(calls=20)
    with (
        pytest.raises(BudgetExhausted, match=r"21 calls \(20 calls left\)") as caught,
        budget.hold(Usage(calls=21)),
    ):
        pass
    assert (caught.value.needed, caught.value.left) == (Usage(calls=21), Limits(calls=20))
    budget.release("evaluation")
    budget.release("evaluation")
    with budget.hold(Usage(calls=70)):
        assert not budget.affords(Usage(calls=1))
    assert budget.affords(Usage(calls=70))


def test_a_reservation_beyond_the_budget_still_lets_free_answers_through() -> None:
    budget = Budget(Limits(calls=10, money=1.0), spent=Usage(calls=8, money=0.5))
    budget.reserve("evaluation", Usage(calls=6, money=0.9))
    assert budget.remaining() == Limits(calls=0, money=0)
    assert budget.affords(Usage())
    assert not budget.affords(Usage(calls=1))


def test_an_error_in_flight_gives_the_hold_back() -> None:
    budget = Budget(Limits(calls=5))
    with pytest.raises(RuntimeError), budget.hold(Usage(calls=5)):
        raise RuntimeError
    assert budget.remaining() == Limits(calls=5)


def test_what_is_back_is_no_longer_held() -> None:
    budget = Budget(Limits(calls=10))
    with budget.hold(Usage(calls=8)) as narrow:
        budget.charge(Usage(calls=3))
        narrow(Usage(calls=4))
        assert budget.remaining().calls == 3
    assert budget.remaining().calls == 7


@given(
    limits=CAPS,
    steps=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.builds(Usage, st.integers(0, 90), st.integers(0, 900), st.integers(0, 9)),
        ),
        max_size=40,
    ),
)
def test_held_batches_never_exceed_a_cap_together(
    limits: Limits, steps: list[tuple[int, Usage]]
) -> None:
    budget, open_batches = Budget(limits), {}
    for slot, usage in steps:
        if slot in open_batches:
            hold, bound = open_batches.pop(slot)
            budget.charge(bound)
            hold.__exit__(None, None, None)
        elif budget.affords(usage):
            hold = budget.hold(usage)
            hold.__enter__()
            open_batches[slot] = hold, usage
        worst = sum((bound for _, bound in open_batches.values()), budget.spent)
        assert worst.calls <= (math.inf if limits.calls is None else limits.calls)
        assert worst.tokens <= (math.inf if limits.tokens is None else limits.tokens)
    for hold, _ in open_batches.values():
        hold.__exit__(None, None, None)


@pytest.mark.parametrize("caps", [{"calls": -1}, {"money": math.nan}, {"tokens": -5}])
def test_a_senseless_cap_is_refused_by_name(caps: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(caps))):
        Limits(**caps)  # type: ignore[arg-type]


def test_shares_cover_the_needs_then_are_equal_with_the_remainder_in_name_order() -> None:
    needs = {"c": Usage(calls=10), "a": Usage(calls=0), "b": Usage(calls=3)}
    shares = split_limits(Limits(calls=24), Limits(), needs)
    assert {name: share.calls for name, share in shares.items()} == {"a": 4, "b": 7, "c": 13}
    assert list(shares) == ["a", "b", "c"]


def test_caps_per_site_hold_with_and_without_a_total() -> None:
    needs = {"a": Usage(calls=5), "b": Usage(calls=1)}
    assert split_limits(Limits(), Limits(calls=9), needs)["a"] == Limits(calls=9)
    assert split_limits(Limits(calls=100), Limits(calls=9), needs)["b"] == Limits(calls=9)
    assert split_limits(Limits(), Limits(), needs)["a"] == Limits()


@pytest.mark.parametrize(
    ("total", "per_site", "text"),
    [
        (
            Limits(calls=12),
            Limits(),
            r"need at least 13 calls \(north 10 calls, south 3 calls\).*total is 12 calls",
        ),
        (Limits(), Limits(calls=9), "'north' needs at least 10 calls and may spend 9 calls"),
        (Limits(money=0.1), Limits(), r"need at least 0\.3 of money"),
    ],
)
def test_needs_beyond_the_budget_are_an_error(total: Limits, per_site: Limits, text: str) -> None:
    needs = {"north": Usage(calls=10, money=0.1), "south": Usage(calls=3, money=0.2)}
    with pytest.raises(BudgetError, match=text):
        split_limits(total, per_site, needs)


@given(total=CAPS, per_site=CAPS, needs=NEEDS)
def test_shares_cover_needs_and_never_exceed_the_total(
    total: Limits, per_site: Limits, needs: dict[str, Usage]
) -> None:
    try:
        shares = split_limits(total, per_site, needs)
    except BudgetError:
        return
    assert all(Budget(shares[name]).affords(need) for name, need in needs.items())
    for field in ("calls", "tokens", "money"):
        cap, most = total.cap(field), per_site.cap(field)
        caps = [share.cap(field) for share in shares.values()]
        if most is not None:
            assert all(share is not None and share <= most for share in caps)
        if cap is not None:
            assert sum(share or 0 for share in caps) <= cap * (1 + 1e-12) + 1e-12
        if cap is not None and most is None and field != "money":
            assert sum(share or 0 for share in caps) == cap
