"""What a run will cost, told before it, is what it then costs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli import demo_config
from asyndbt.config import Config
from asyndbt.errors import BudgetError, ConfigError
from asyndbt.pocket import dataset
from asyndbt.pocket._server import PocketServer
from asyndbt.run import Estimate, estimate_run, run_config
from asyndbt.run import _estimate as stand_in


def demo(folder: Path, **changes: Any) -> Config:
    """The demo, with 20 test rows a site, since there is nothing to estimate about the others."""
    kept: Counter[tuple[str, str]] = Counter()
    rows = []
    for row in dataset("sentiment-consumer", "test"):
        kept[row["site"], row["label"]] += 1
        if kept[row["site"], row["label"]] <= 10:
            rows.append(json.dumps(row))
    (folder / "test.jsonl").write_text("\n".join(rows))
    keys = {name.replace("__", "."): value for name, value in changes.items()}
    return demo_config("sentiment-consumer", 1, folder / "run").override(
        {
            "budget.per_site": {},
            "method.random_icl_draws": 1,
            "data.test": str(folder / "test.jsonl"),
            **keys,
        }
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"budget__per_site": {"calls": 340}},
        {"method__iterations": 20},
        {"method__iterations": 8, "lm__calibration": "contextual"},
        {"method__iterations": 3, "method__preset": "paper", "method__batch_size": 4},
        {"method__iterations": 20, "method__centralised": True},
    ],
    ids=str,
)
def test_calls_and_tokens_are_within_5_percent_of_the_run(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    config = demo(tmp_path, **changes)
    expected = estimate_run(config)
    assert not config.run.dir.exists()
    result = run_config(config).data
    ledger = result["ledger"]
    assert expected.least.usage.calls == pytest.approx(ledger["calls"], rel=0.05)
    tokens = ledger["tokens_in"] + ledger["tokens_out"]
    assert expected.least.usage.tokens == pytest.approx(tokens, rel=0.05)
    assert expected.stop_reason == result["stop_reason"]
    assert ledger["calls"] <= expected.most.usage.calls
    for field in ("calls", "tokens_in", "tokens_out"):
        assert getattr(expected.least.usage, field) <= getattr(expected.most.usage, field)
    assert expected.least.seconds <= expected.most.seconds


def test_early_stopping_makes_no_estimate_cheaper(tmp_path: Path) -> None:
    changes = {"method__iterations": 15, "method__validations": 5}
    plain = estimate_run(demo(tmp_path, **changes))
    assert (
        estimate_run(demo(tmp_path, **changes, method__patience=1)).least.usage == plain.least.usage
    )


NO_FRAGMENT = {"vocabulary": None, "vocabulary_limit": None, "fragment_length": None}


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"method": {"preset": "paper", "refresh_every": 10}}, "iterations"),
        ({"method": {"preset": "paper", "centralised": True}}, "iterations"),
        (
            {
                "method": {
                    "mode": "demonstrations",
                    "iterations": 300,
                    "entropy": 0.001,
                    **NO_FRAGMENT,
                }
            },
            "converged",
        ),
        ({"method": {"mode": "fragment"}}, "iterations"),
        ({"budget": {"calls": 800}}, "budget"),
        ({"budget": {"tokens": 85_000}}, "budget"),
    ],
    ids=str,
)
def test_of_a_long_run_some_prompts_tell_the_cost_of_all(
    small: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, dict[str, Any]], end: str
) -> None:
    method = {"iterations": 60, "eta_p": None, "eta_q": None, **changes.get("method", {})}
    lm = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    budget = {"per_site": None, "calls": 100_000, **changes.get("budget", {})}
    config = small.config(lm=lm, method=method, budget=budget)

    def played(whole: int) -> Estimate:
        monkeypatch.setattr(stand_in, "_WHOLE", whole)
        return estimate_run(config)

    quick, full = played(30), played(1_000_000)
    by_tokens = config.budget.tokens is not None
    assert quick.least.usage.calls == pytest.approx(
        full.least.usage.calls, rel=0.02 if by_tokens else 0
    )
    assert quick.least.usage.tokens == pytest.approx(full.least.usage.tokens, rel=0.02)
    assert quick.least.seconds == pytest.approx(full.least.seconds, rel=0.02)
    assert quick.stop_reason == full.stop_reason == end


def test_the_budget_bounds_the_estimate(small: Any) -> None:
    for budget in ({"calls": 3 * small.least + 40}, {"tokens": 30_000}):
        usage = estimate_run(small.config(budget={"per_site": None, **budget})).least.usage
        assert usage.calls <= budget.get("calls", usage.calls)
        assert usage.tokens <= budget.get("tokens", usage.tokens)


@pytest.mark.parametrize(
    ("budget", "iterations"),
    [({"calls": 1_800}, None), ({"calls": 5_000}, 40), ({"calls": 50_000, "tokens": 40_000}, None)],
)
def test_where_made_up_answers_settle_the_range_goes_on_to_the_limit(
    small: Any, budget: dict[str, int], iterations: int | None
) -> None:
    method = {"mode": "demonstrations", "iterations": iterations, **NO_FRAGMENT, "eta_q": 100.0}
    found = estimate_run(small.config(method=method, budget={"per_site": None, **budget}))
    least, most = found.least.usage, found.most.usage
    assert found.stop_reason in ("converged", "nothing new to ask", "iterations")
    assert least.calls < most.calls
    assert most.tokens / most.calls == pytest.approx(least.tokens / least.calls, rel=0.01)
    each = found.least.seconds / least.calls
    assert found.most.seconds / most.calls == pytest.approx(each, rel=0.01)
    if iterations is not None:
        looks = 3 * (small.evaluation + 0.15 * 40 * small.step + 2 * small.validation)
        assert 3 * 40 * small.step < most.calls <= 3 * 40 * small.step + looks
    elif "tokens" in budget:
        assert most.tokens == pytest.approx(budget["tokens"], rel=0.01)
    else:
        assert most.calls == budget["calls"]


def test_an_estimate_has_the_warnings_of_the_run(small: Any) -> None:
    config = small.config(budget={"per_site": {"calls": small.least}}, data={"test": None})
    (told,) = [text for text in estimate_run(config).warnings if "no test data" in text]
    assert told in run_config(config).data["warnings"]


def test_it_is_the_same_every_time(small: Any) -> None:
    config = small.config()
    first, second = (estimate_run(config) for _ in range(2))
    assert (first.least.usage, first.steps) == (second.least.usage, second.steps)


def test_an_endpoint_is_not_asked(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody at this address, and no package to ask with: a request would be an error."""
    monkeypatch.setitem(sys.modules, "openai", None)
    lm = {
        "provider": "openai",
        "model": "m",
        "base_url": "http://127.0.0.1:9/v1",
        "price_in": 2.0,
        "price_out": 8.0,
    }
    expected = estimate_run(small.config(lm=lm), seconds_per_request=2.0)
    usage = expected.least.usage
    assert 0 < usage.calls <= 3 * small.config().budget.per_site.calls
    assert usage.money == pytest.approx(2e-6 * usage.tokens_in + 8e-6 * usage.tokens_out)
    assert expected.priced
    assert not expected.free
    assert expected.least.seconds >= 2.0 * usage.calls / 32


def test_requests_a_minute_make_a_run_longer(small: Any) -> None:
    lm = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    capped = estimate_run(small.config(lm={**lm, "requests_per_minute": 10}))
    assert capped.least.seconds == pytest.approx(6.0 * capped.least.usage.calls)
    assert estimate_run(small.config(lm=lm)).least.seconds < capped.least.seconds


def test_what_would_keep_the_run_from_starting_is_said(small: Any) -> None:
    with pytest.raises(BudgetError, match="needs at least"):
        estimate_run(small.config(budget={"per_site": {"calls": small.step}}))


def test_more_steps_are_told_for_more_budget(small: Any) -> None:
    def steps(more: int) -> Estimate:
        return estimate_run(small.config(budget={"per_site": {"calls": small.least + more}}))

    assert steps(0).steps < steps(60).steps < steps(300).steps


def test_over_http_tokens_and_money_are_right_once_the_endpoint_was_asked(small: Any) -> None:
    with PocketServer() as server:
        lm = {"provider": "openai", "model": "pocket", "base_url": server.url, "system": ""}
        config = small.config(
            lm={**lm, "price_in": 1000.0, "price_out": 1000.0},
            budget={"per_site": None, "money": 30.0},
        )
        expected = estimate_run(config, probe=True)
        ledger = run_config(config).data["ledger"]
    assert ledger["money"] <= 30.0
    # So short a run is mostly looks at the validation rows, some of which repeat themselves.
    assert expected.least.usage.calls == pytest.approx(ledger["calls"], rel=0.3)
    per_call = expected.least.usage.tokens / expected.least.usage.calls
    tokens = ledger["tokens_in"] + ledger["tokens_out"]
    assert per_call == pytest.approx(tokens / ledger["calls"], rel=0.1)


def test_a_cap_on_money_needs_a_price(small: Any) -> None:
    lm = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(ConfigError, match=r"set lm\.price_in and lm\.price_out"):
        estimate_run(small.config(lm=lm, budget={"money": 1.0}))
