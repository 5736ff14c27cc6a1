"""How a budget is divided: what more of it buys, and what it never takes away."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import BudgetError
from asyndbt.lm import LIMITED, Limits, Usage
from asyndbt.run._division import divide_budget
from asyndbt.scoring import Needs

SHARES: Final = st.sampled_from([0.2, 0.5, 0.8, 1.0])
CAPS: Final = st.one_of(st.none(), st.integers(0, 3_000))


@st.composite
def needs_of_a_site(draw: st.DrawFn) -> Needs:
    kinds, tokens = draw(st.integers(1, 7)), draw(st.integers(1, 30))
    rows = draw(st.lists(st.integers(1, 40), max_size=30))
    tests = tuple(Usage(kinds, kinds * each) for each in rows)
    validations, validation_rows = draw(st.integers(0, 9)), draw(st.integers(1, 30))
    return Needs(
        prompt=Usage(1, tokens),
        tests=tests,
        test_rows=len(tests),
        evaluation=sum(tests, Usage()),
        step_prompts=draw(st.integers(1, 20)),
        validations=validations,
        validation_rows=validation_rows,
        looks=(validations + 16) * validation_rows,
    )


SITES: Final = st.dictionaries(st.sampled_from("abcd"), needs_of_a_site(), min_size=1)


def divided(
    needs: dict[str, Needs], share: float, field: str, total: int | None, each: int | None
) -> dict[str, tuple[int, float, int]] | None:
    """By site: test examples, what tuning may spend, and local steps; None if it is too little."""
    caps = [Limits(**{field: cap}) for cap in (total, each)]
    try:
        tested, limits = divide_budget(caps[0], caps[1], needs, share)
    except BudgetError:
        return None
    found = {}
    for name, need in tested.items():
        left = limits[name].after(need.evaluation).cap(field)
        steps = need.within(limits[name]).steps_within(limits[name])
        found[name] = (need.test_rows, left if left is not None else float("inf"), steps)
    return found


@given(
    needs=SITES,
    share=SHARES,
    field=st.sampled_from(["calls", "tokens"]),
    total=CAPS,
    each=CAPS,
    more=st.integers(1, 2_000),
    whose=st.sampled_from(["total", "each", "both"]),
)
def test_more_budget_takes_neither_test_examples_nor_local_steps(
    needs: dict[str, Needs],
    share: float,
    field: str,
    total: int | None,
    each: int | None,
    more: int,
    whose: str,
) -> None:
    raised = [
        cap if cap is None or whose not in (name, "both") else cap + more
        for name, cap in (("total", total), ("each", each))
    ]
    little, much = divided(needs, share, field, total, each), divided(needs, share, field, *raised)
    if little is None:
        return
    assert much is not None
    for name, (rows, tuning, steps) in little.items():
        assert much[name][0] >= rows
        assert much[name][1] >= tuning
        assert much[name][2] >= steps


@given(needs=SITES, share=SHARES, total=CAPS, each=CAPS, tokens=CAPS)
def test_caps_hold_and_every_site_tunes_and_tests(
    needs: dict[str, Needs], share: float, total: int | None, each: int | None, tokens: int | None
) -> None:
    try:
        tested, limits = divide_budget(Limits(total, tokens), Limits(each), needs, share)
    except BudgetError:
        return
    for cap, field in ((total, "calls"), (tokens, "tokens")):
        if cap is not None:
            assert sum(limits[name].cap(field) or 0 for name in needs) <= cap
    for name, need in tested.items():
        assert each is None or (limits[name].calls or 0) <= each
        assert need.test_rows >= min(1, len(need.tests))
        asked = sum(need.tests[: need.test_rows], Usage())
        for field in LIMITED:
            assert getattr(asked, field) <= getattr(need.evaluation, field)
            cap = limits[name].cap(field)
            assert cap is None or getattr(need.evaluation + need.tuning, field) <= cap


ROWS: Final = (Usage(7, 70),) * 100
NEED: Final = Needs(
    prompt=Usage(1, 10),
    tests=ROWS,
    test_rows=100,
    evaluation=sum(ROWS, Usage()),
    step_prompts=20,
    validations=9,
    validation_rows=30,
    looks=1000,
)


@pytest.mark.parametrize(
    ("calls", "share", "rows"),
    [(1_400, 0.5, 100), (1_399, 0.5, 99), (700, 0.5, 50), (700, 1.0, 95), (729, 1.0, 100)],
)
def test_the_test_examples_take_their_share_of_the_budget(
    calls: int, share: float, rows: int
) -> None:
    for total, each in ((Limits(calls), Limits()), (Limits(), Limits(calls))):
        tested, limits = divide_budget(total, each, {"a": NEED}, share)
        assert (tested["a"].test_rows, limits["a"].calls) == (rows, calls)


def test_sites_test_the_same_part_of_their_examples() -> None:
    few = Needs(
        prompt=Usage(1, 10),
        tests=ROWS[:20],
        test_rows=20,
        evaluation=sum(ROWS[:20], Usage()),
        step_prompts=20,
    )
    tested, _ = divide_budget(Limits(840), Limits(), {"a": NEED, "b": few}, 0.5)
    assert tested["a"].test_rows == pytest.approx(50, abs=1)
    assert tested["b"].test_rows == pytest.approx(10, abs=1)
