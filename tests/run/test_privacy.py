"""Runs with private reports: what is refused, what is told, and that nothing is spent twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.run.test_resume import ENGINES, Stop, interrupter, same

from asyndbt.baselines import resume_run, run_method
from asyndbt.cli._outcome_text import accuracy_table
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.federation._private_reports import PrivateReports
from asyndbt.report import build_page
from asyndbt.run import RunSite, _site, check_run, estimate_run, run_config, wrong_answers
from asyndbt.run._states import saved_states

STEPS = 3


def private(small: Any, name: str = "run", /, engine: str = "virtual", **changes: Any) -> Any:
    return small.config(
        name,
        method={"iterations": STEPS, "local_steps": 3},
        federation={**ENGINES[engine], "privacy": {"epsilon": 4.0}},
        **changes,
    )


def spent(small: Any, directory: Path) -> dict[str, int]:
    return {
        name: small.read(directory / "sites" / name / "privacy.json")["noisy_reports"]
        for name in small.sites
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of every report for which noise was drawn, in all sessions."""
    numbers: list[int] = []
    noised = PrivateReports._noised

    def counting(reports: PrivateReports, point: Any) -> Any:
        numbers.append(reports.spent)
        return noised(reports, point)

    monkeypatch.setattr(PrivateReports, "_noised", counting)
    return numbers


# ------------------------------------------------------------------ what is said
def test_check_estimate_and_record_say_what_is_kept_and_what_is_not(small: Any) -> None:
    config = private(small)
    result = run_config(config)
    for warnings in (
        check_run(config).warnings,
        estimate_run(config).warnings,
        result.data["warnings"],
    ):
        text = " ".join(warnings)
        assert "(4, 1e-05)-differentially private" in text
        assert f"{STEPS + 1} noisy reports at most; not covered: when a site answers" in text
        assert "3 sites can tell each other hardly anything" in text
    assert result.data["privacy"] == {"epsilon": 4.0, "delta": 1e-5, "clip": 1.0}
    assert "each site keeps its scores" in accuracy_table(result.data)
    page = build_page(result.directory)
    assert "scores stay at the sites" in page
    assert "(4, 1e-05)-differential" in page


def test_no_accuracy_leaves_a_site_and_each_keeps_its_own(small: Any) -> None:
    result = run_config(private(small, engine="local"))
    assert not any(result.data["metrics"]["test"].values())
    for name in small.sites:
        assert not any(result.data["sites"][name]["metrics"]["test"].values())
        assert result.data["sites"][name]["kept_own"] is None
        kept = small.read(result.directory / "sites" / name / "result.json")["metrics"]["test"]
        assert {score["n"] for score in kept.values()} == {small.test}
    shown = wrong_answers(result)
    assert {name: found.tested for name, found in shown.items()} == dict.fromkeys(
        small.sites, small.test
    )


def test_methods_without_noise_are_refused(small: Any) -> None:
    for method in ("random-icl", "fedavg-bdpl"):
        with pytest.raises(ConfigError, match="adds no noise to what sites send"):
            run_method(method, private(small))


# ------------------------------------------------------------------ nothing is spent twice
@pytest.mark.parametrize(("kind", "count"), [("step", 1), ("step", STEPS), ("phase", 1)])
def test_resumed_is_uninterrupted_where_noise_is_simulated(
    small: Any, kind: str, count: int
) -> None:
    whole = run_config(private(small, "whole"))
    config = private(small)
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter(kind, count, Stop)])
    resume_run(config.run.dir)
    same(small, whole.directory, config.run.dir)
    assert spent(small, whole.directory) == spent(small, config.run.dir)


def test_a_report_that_is_asked_for_again_gets_no_noise_again(
    small: Any, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the system's randomness too: a second draw would be a second report."""
    config, save = private(small, engine="local"), RunSite.save

    def dying(site: RunSite) -> None:
        save(site)
        if site.worker.private is not None and site.worker.private.spent == 2:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(RunSite, "save", dying)
        with pytest.raises(Stop):
            run_config(config)
    resume_run(config.run.dir)
    found = spent(small, config.run.dir)
    assert max(found.values()) <= STEPS + 1
    assert len(drawn) == sum(found.values())


@pytest.mark.parametrize(
    ("write", "file"), [("write_atomically", "privacy.json"), ("replace_state", "state")]
)
def test_no_report_outlives_a_crash_uncounted(
    small: Any, monkeypatch: pytest.MonkeyPatch, write: str, file: str
) -> None:
    """What a resumed run may send again is in the count, whichever file a crash comes before."""
    config, original = private(small, engine="local"), getattr(_site, write)
    written: Counter[Path] = Counter()

    def dying(path: Path, data: bytes) -> None:
        written[path] += path.name == file
        if written[path] == 2:
            raise Stop
        original(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(_site, write, dying)
        with pytest.raises(Stop):
            run_config(config)
    for name, count in spent(small, config.run.dir).items():
        (latest, *_), _ = saved_states(config.run.dir / "sites" / name / "state")
        assert latest.fields["noisy_reports"] <= count


def test_a_run_that_begins_again_does_not_begin_to_spend_again(
    small: Any, drawn: list[int]
) -> None:
    """Where every state is damaged the work is done again, and what was spent stays spent."""
    config = private(small, engine="local")
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("phase", 2, Stop)])
    before = spent(small, config.run.dir)
    assert max(before.values()) == STEPS + 1
    for file in [*config.run.dir.glob("checkpoint*"), *config.run.dir.glob("sites/*/state*")]:
        file.write_bytes(b"")
    resume_run(config.run.dir)
    found = spent(small, config.run.dir)
    assert max(found.values()) == STEPS + 1
    assert all(found[name] >= before[name] for name in small.sites)
    assert len(drawn) == sum(found.values())


def test_more_budget_buys_no_report_beyond_those_settled(small: Any, drawn: list[int]) -> None:
    config, more = private(small), {"per_site": {"calls": 5_000}}
    with pytest.raises(Stop):
        run_config(config, observers=[interrupter("phase", 2, Stop)])
    with pytest.raises(RunDirectoryError, match="the reports that were settled before the run"):
        resume_run(config.run.dir, budget=more)
    result = resume_run(config.run.dir)
    with pytest.raises(RunDirectoryError, match="more of it would change nothing"):
        resume_run(config.run.dir, budget=more)
    assert result.data["stop_reason"] == "iterations"
    assert len(drawn) <= len(small.sites) * (STEPS + 1)


def test_without_a_fragment_sites_tell_nothing_at_all(small: Any) -> None:
    result = run_config(
        small.config(
            method={"mode": "demonstrations", "iterations": STEPS}
            | dict.fromkeys(("vocabulary", "vocabulary_limit", "fragment_length")),
            federation={"privacy": {"epsilon": 4.0}},
        )
    )
    assert result.fragment == []
    kept = small.read(result.directory / "sites" / "meals" / "result.json")
    assert kept["metrics"]["test"]["tuned"]["n"] == small.test
