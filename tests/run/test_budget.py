"""Caps are hard, what the end needs is kept back, and too little is said before any request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asyndbt.errors import BudgetError
from asyndbt.run import run_config


def tokens(directory: Any, small: Any) -> dict[str, int]:
    return {site: sum(row[1:]) for site, row in small.paid(directory).items()}


def calls(directory: Any, small: Any) -> dict[str, int]:
    return {site: row[0] for site, row in small.paid(directory).items()}


@pytest.mark.parametrize("more", [0, 1, 5, 6, 13, 40])
def test_no_site_exceeds_its_calls_and_every_one_is_evaluated(small: Any, more: int) -> None:
    cap = small.least + more
    result = run_config(small.config(budget={"per_site": {"calls": cap}}))
    spent = calls(result.directory, small)
    assert set(spent) == set(small.sites)
    assert max(spent.values()) <= cap
    assert result.data["stop_reason"] == "budget"
    assert result.data["iterations"] >= 1
    for kind in ("plain", "random_icl", "tuned"):
        assert result.data["metrics"]["test"][kind]["n"] == 3 * small.test
    for site in result.data["sites"].values():
        assert 1 <= site["metrics"]["validation"]["tuned"]["n"] <= small.validation


@pytest.mark.parametrize("more", [0, 7, 60])
def test_the_total_of_calls_is_never_exceeded(small: Any, more: int) -> None:
    total = 3 * small.least + more
    config = small.config(budget={"per_site": None, "calls": total})
    result = run_config(config)
    assert result.data["ledger"]["calls"] == sum(calls(result.directory, small).values()) <= total


def test_both_caps_hold_at_once(small: Any) -> None:
    caps = {"per_site": {"calls": small.least + 20}, "calls": 3 * small.least + 30}
    result = run_config(small.config(budget=caps))
    spent = calls(result.directory, small)
    assert max(spent.values()) <= small.least + 20
    assert sum(spent.values()) <= 3 * small.least + 30


def test_tokens_hold_exactly_at_the_least_that_is_asked_for(small: Any, asked: Any) -> None:
    """One token below the least is refused before any request; the least itself is enough."""

    def config(name: str, total: int) -> Any:
        return small.config(name, budget={"per_site": None, "tokens": total})

    with pytest.raises(BudgetError) as refusal:
        run_config(config("one", 1))
    said = re.search(r"need at least ([\d,]+) tokens", str(refusal.value))
    assert said is not None, str(refusal.value)
    least = int(said[1].replace(",", ""))
    with pytest.raises(BudgetError, match="need at least"):
        run_config(config("below", least - 1))
    assert asked.prompts == []
    result = run_config(config("least", least))
    ledger = result.data["ledger"]
    assert ledger["tokens_in"] + ledger["tokens_out"] <= least
    assert sum(tokens(result.directory, small).values()) <= least
    assert result.data["metrics"]["test"]["tuned"]["n"] == 3, "one example of every site"


@pytest.mark.parametrize("cap", [9_000, 9_500, 12_000])
def test_no_site_exceeds_its_tokens(small: Any, cap: int) -> None:
    result = run_config(small.config(budget={"per_site": {"calls": None, "tokens": cap}}))
    assert max(tokens(result.directory, small).values()) <= cap


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (
            {"per_site": {"calls": 10}},
            r"budget per site: 'meals' needs at least \d+ calls, 'movies' needs at least "
            r"\d+ calls, 'phones' needs at least \d+ calls and may spend 10 calls; raise "
            r"budget\.per_site\.calls, or lower method\.draws, ",
        ),
        (
            {"per_site": None, "calls": 30},
            r"budget: the sites need at least \d+ calls \(meals \d+ calls, movies \d+ calls, "
            r"phones \d+ calls\) and the total is 30 calls; raise budget\.calls, or lower ",
        ),
    ],
)
def test_too_little_is_said_before_any_request(
    small: Any, asked: Any, budget: dict[str, Any], said: str
) -> None:
    config = small.config(budget=budget)
    with pytest.raises(BudgetError, match=said):
        run_config(config)
    assert asked.prompts == []
    assert not config.run.dir.exists(), "nothing is left behind"


def test_one_call_below_the_least_is_too_little(small: Any, asked: Any) -> None:
    one_test = small.least - small.evaluation + small.evaluation // small.test
    with pytest.raises(BudgetError, match=f"needs at least {one_test} calls"):
        run_config(small.config(budget={"per_site": {"calls": one_test - 1}}))
    assert asked.prompts == []


def test_iterations_end_a_run_without_a_budget(small: Any) -> None:
    config = small.config(budget={"per_site": None}, method={"iterations": 4})
    result = run_config(config)
    assert (result.data["stop_reason"], result.data["iterations"]) == ("iterations", 4)
