"""What holds for every method: cost, order, repeatability, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asyndbt.baselines import _search, methods, resume_run, run_method
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.run import Event, Result, read_curve, run_config
from asyndbt.testing import ScriptedLanguageModel

NAMES = [name for name in methods() if name != "encoder-mlp"]
FREE = [name for name in NAMES if not methods()[name].needs_calls]
POINT = {
    "calls",
    "site",
    "iteration",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "seconds",
}


def test_the_methods_are_exactly_these() -> None:
    assert set(methods()) == {
        "asyndbt",
        "cendbt",
        "manual",
        "zero-shot-cot",
        "random-icl",
        "kate",
        "bdpl",
        "adaicl",
        "encoder-mlp",
        "fedone",
        "fedavg-bdpl",
        "fedpob",
        "tpe",
        "random-search",
        "halving",
    }


@dataclass(frozen=True)
class Carried:
    """A method that was carried out, what it asked, and what the model charged."""

    result: Result
    model: ScriptedLanguageModel
    tiny: Any


@pytest.fixture(scope="module", params=NAMES)
def carried(
    request: pytest.FixtureRequest,
    make_tiny: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Carried:
    tiny = make_tiny(tmp_path_factory.mktemp(request.param))
    model = ScriptedLanguageModel(tiny.hashed)
    return Carried(run_method(request.param, tiny.config(), model=model), model, tiny)


@pytest.fixture(scope="module")
def reference(
    make_tiny: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return run_config(make_tiny(tmp_path_factory.mktemp("reference")).config()).data


def test_the_result_has_the_form_of_a_runs(carried: Carried, reference: dict[str, Any]) -> None:
    data, tiny = carried.result.data, carried.tiny
    assert set(data) == {*reference, "method"}
    assert set(data["ledger"]) == set(reference["ledger"])
    assert set(data["metrics"]["test"]) == {"plain", "random_icl", "tuned"}
    for figures in data["metrics"]["test"].values():
        assert figures["n"] == 2 * tiny.test
    assert set(data["sites"]) == ({"all"} if data["method"] == "cendbt" else set(tiny.sites))
    for site in data["sites"].values():
        assert set(site) == set(reference["sites"]["meals"])
        assert site["metrics"]["validation"]["tuned"]["n"] > 0
    assert (carried.result.directory / "config.toml").exists()


def test_the_curve_rises_in_calls(carried: Carried) -> None:
    curve = read_curve(carried.result.directory)
    assert curve
    assert all(set(point) == POINT for point in curve)
    assert [point["calls"] for point in curve] == sorted(point["calls"] for point in curve)
    assert curve[-1]["calls"] <= carried.result.data["ledger"]["calls"]


def test_the_ledger_is_the_only_counter(carried: Carried) -> None:
    calls = carried.result.data["ledger"]["calls"]
    assert calls == carried.model.charged.calls == carried.tiny.paid(carried.result.directory)
    assert calls <= len(carried.tiny.sites) * carried.tiny.config().budget.per_site.calls


def test_a_site_asks_about_its_test_split_at_the_very_end(carried: Carried) -> None:
    tiny = carried.tiny
    rows = {part: tiny.rows(part) for part in tiny.files}
    for site in tiny.sites:
        parts = [
            part
            for prompt in carried.model.asked
            for part in rows
            if any(r["site"] == site and r["text_a"] in prompt.query for r in rows[part])
        ]
        first = parts.index("test")
        assert set(parts[first:]) == {"test"}
        assert first > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_least_budget_is_enough_and_is_kept(
    tiny: Any, scripted: ScriptedLanguageModel, name: str
) -> None:
    config = tiny.config(**{"budget.per_site": {"calls": tiny.least}})
    data = run_method(name, config, model=scripted).data
    assert data["ledger"]["calls"] <= len(tiny.sites) * tiny.least
    assert data["metrics"]["test"]["tuned"]["n"] == 2 * tiny.test


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("short", [0, 10])
def test_a_method_that_tunes_without_calls_needs_those_of_the_evaluation_alone(
    tiny: Any, scripted: ScriptedLanguageModel, name: str, short: int
) -> None:
    calls = tiny.evaluation - short
    config = tiny.config(**{"budget.per_site": {"calls": calls}})
    events: list[Event] = []
    data = run_method(name, config, model=scripted, observers=[events.append]).data
    assert data["ledger"]["calls"] <= len(tiny.sites) * calls
    rows = data["metrics"]["test"]["tuned"]["n"]
    assert 0 < rows <= len(tiny.sites) * tiny.test
    assert (rows == len(tiny.sites) * tiny.test) == (short == 0)
    assert not any("steps" in event.data["text"] for event in events if event.kind == "warning")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_result_with_the_pocket_model(tiny: Any, name: str) -> None:
    first = run_method(name, tiny.config("first")).data
    assert first == run_method(name, tiny.config("second")).data
    assert first["method"] == name


@pytest.mark.parametrize("name", ["random-icl", "halving", "fedone", "fedpob"])
@pytest.mark.parametrize("by", ["run_method", "resume_run"])
def test_what_was_interrupted_is_repeated_without_paying_again(
    tiny: Any, name: str, by: str
) -> None:
    def stop(event: Event) -> None:
        if event.kind == "phase":
            raise KeyboardInterrupt

    whole = run_method(name, tiny.config("whole")).data
    with pytest.raises(KeyboardInterrupt):
        run_method(name, tiny.config("broken"), observers=[stop])
    if by == "run_method":
        assert run_method(name, tiny.config("broken")).data == whole
    else:
        assert resume_run(tiny.folder / "broken").data == whole
    assert tiny.paid(tiny.folder / "broken") == whole["ledger"]["calls"]
    with pytest.raises(RunDirectoryError, match="holds a run already"):
        run_method(name, tiny.config("broken"))


def test_trials_that_are_repeated_end_no_search(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that finds nothing new to ask is over; what it has paid for before is new to it."""

    def stop(event: Event) -> None:
        if event.kind == "phase":
            raise KeyboardInterrupt

    monkeypatch.setattr(_search, "_IDLE", 2)
    whole = run_method("random-search", tiny.config("whole"))
    with pytest.raises(KeyboardInterrupt):
        run_method("random-search", tiny.config("broken"), observers=[stop])
    again = resume_run(tiny.folder / "broken")
    assert again.data == whole.data
    assert [m | {"seconds": 0} for m in read_curve(again.directory)] == [
        m | {"seconds": 0} for m in read_curve(whole.directory)
    ]


def test_asyndbt_is_the_run_of_the_configuration(tiny: Any) -> None:
    plain = run_config(tiny.config("plain")).data
    assert run_method("asyndbt", tiny.config()).data == {**plain, "method": "asyndbt"}


def test_asyndbt_goes_on_where_it_was_broken_off(tiny: Any) -> None:
    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == 3:
            raise KeyboardInterrupt

    whole = run_method("asyndbt", tiny.config("whole")).data
    with pytest.raises(KeyboardInterrupt):
        run_method("asyndbt", tiny.config("broken"), observers=[stop])
    assert run_method("asyndbt", tiny.config("broken")).data == whole
    with pytest.raises(RunDirectoryError, match="holds a run already"):
        run_method("asyndbt", tiny.config("broken"))


def test_cendbt_may_spend_what_all_sites_may(tiny: Any) -> None:
    config = tiny.config()
    result = run_method("cendbt", config)
    assert result.config.method.centralised
    per_site = config.budget.per_site.calls
    assert result.config.budget.per_site.calls == len(tiny.sites) * per_site


@pytest.mark.parametrize("mode", ["demonstrations", "fragment"])
def test_a_search_works_on_what_the_mode_tunes(tiny: Any, mode: str) -> None:
    changes: dict[str, Any] = {"method.mode": mode}
    if mode == "demonstrations":
        changes |= {"method.vocabulary": None, "method.fragment_length": None}
    result = run_method("random-search", tiny.config(**changes))
    for site in tiny.sites:
        prompt = result.prompt(site)
        assert bool(prompt.demonstrations) == (mode == "demonstrations")
        assert bool(prompt.fragment) == (mode == "fragment")


def test_an_observer_is_shown_what_the_log_has(tiny: Any) -> None:
    seen: list[Event] = []
    result = run_method("halving", tiny.config(), observers=[seen.append])
    lines = (result.directory / "events.jsonl").read_text().splitlines()
    assert [event.kind for event in seen] == [json.loads(line)["kind"] for line in lines]
    assert {event.kind for event in seen} == {"start", "warning", "step", "phase", "result"}


def test_what_is_unknown_is_said(tiny: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"no method 'cate'; the choices are .*asyndbt.*; did you mean 'kate'"
    ):
        run_method("cate", tiny.config())
    with pytest.raises(ConfigError, match=r"method 'kate': .*'neighbors'"):
        run_method("kate", tiny.config(), options={"neighbors": 3})
    with pytest.raises(ConfigError, match="nearest-last"):
        run_method("kate", tiny.config(), options={"order": "random"})


def test_asyndbt_with_effects_exchanged_goes_on_where_it_was_broken_off(tiny: Any) -> None:
    changes: dict[str, Any] = {"method.exchange": "effects"}

    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == 3:
            raise KeyboardInterrupt

    whole = run_method("asyndbt", tiny.config("whole", **changes)).data
    with pytest.raises(KeyboardInterrupt):
        run_method("asyndbt", tiny.config("broken", **changes), observers=[stop])
    assert run_method("asyndbt", tiny.config("broken", **changes)).data == whole
