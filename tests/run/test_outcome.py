"""What a run says when it did not go as it should have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest

from asyndbt.baselines import resume_run
from asyndbt.errors import AsyndbtError, ConfigError, RunDirectoryError
from asyndbt.lm import Answer, Limits, Prompt, parse_label
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.run import Event, run_config
from asyndbt.run._directory import RunDirectory
from asyndbt.run._setup import prepare_run
from asyndbt.testing import ScriptedLanguageModel

CONSTANT = {"engine": "virtual", "lease": 3.0}


class Stop(BaseException):
    """Ends a session."""


def stop_at(step: int) -> Any:
    def observe(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == step:
            raise Stop

    return observe


# ------------------------------------------------------------------ sites
def test_a_gone_site_is_listed_without_figures(small: Any) -> None:
    delays = {"kind": "constant", "dead": {"phones": 4.5}}
    result = run_config(small.config(federation={**CONSTANT, "delays": delays}))
    assert set(result.data["sites"]) == set(small.sites)
    phones = result.data["sites"]["phones"]
    assert phones["gone"]
    assert phones["metrics"]["test"] == {"plain": None, "random_icl": None, "tuned": None}
    assert result.data["metrics"]["test"]["tuned"]["n"] == 2 * small.test
    assert "site phones was gone at the end" in result.data["warnings"]


def test_without_any_site_there_is_an_error_and_no_result(small: Any) -> None:
    delays = {"kind": "constant", "dead": dict.fromkeys(small.sites, 4.5)}
    config = small.config(federation={**CONSTANT, "delays": delays})
    with pytest.raises(AsyndbtError, match="all sites are gone"):
        run_config(config)
    assert not (config.run.dir / "result.json").exists()
    with pytest.raises(AsyndbtError, match="all sites are gone"):
        resume_run(config.run.dir)


def test_delays_of_a_site_that_the_data_does_not_have(small: Any) -> None:
    config = small.config(federation={**CONSTANT, "delays": {"slow": {"phone": 2.0}}})
    with pytest.raises(ConfigError, match=r"delays\.slow names 'phone'.*meals, movies, phones"):
        run_config(config)


# ------------------------------------------------------------------ figures
def test_no_answer_is_parsed_twice(small: Any) -> None:
    parsed = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is parse_label.__code__:
            parsed.append(frame.f_locals["text"])

    model = ScriptedLanguageModel(lambda prompt, labels: f"It is {labels[len(prompt.text) % 2]}.")
    config = small.config(lm={"feedback": "text"}, method={"iterations": 3})
    sys.setprofile(watch)
    try:
        ledger = run_config(config, model=model).data["ledger"]
    finally:
        sys.setprofile(None)
    # Besides, the label words themselves are parsed once before the run.
    answers = [text for text in parsed if text.startswith("It is")]
    assert 0 < len(answers) <= ledger["calls"] + ledger["cached"]


@pytest.mark.parametrize("every", [2, 50])
def test_failed_requests_are_told_when_they_are_many(
    small: Any, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    score, asked = PocketLanguageModel.score, 0

    async def unreliable(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        nonlocal asked
        answers = await score(model, prompts, labels)
        first, asked = asked, asked + len(answers)
        return [None if (first + k) % every == 0 else a for k, a in enumerate(answers)]

    monkeypatch.setattr(PocketLanguageModel, "score", unreliable)
    result = run_config(small.config(method={"iterations": 3}))
    assert result.data["ledger"]["failed"] > 0
    told = [text for text in result.data["warnings"] if "requests failed" in text]
    assert len(told) == (every == 2)


def test_policies_that_hardly_moved_are_told_in_every_mode(small: Any) -> None:
    still = {"iterations": 1, "eta_p": 0.0, "eta_q": 0.0, "psi": 0.0}
    both = run_config(small.config("both", method=still)).data["warnings"]
    assert len([text for text in both if "close to uniform" in text]) == 2
    dropped = dict.fromkeys(("vocabulary", "vocabulary_limit", "fragment_length"))
    shown = small.config("shown", method={**still, **dropped, "mode": "demonstrations"})
    (told,) = [text for text in run_config(shown).data["warnings"] if "uniform" in text]
    assert "demonstration policy is still close to uniform at meals, movies, phones" in told


def test_without_demonstrations_there_are_no_random_ones(small: Any) -> None:
    result = run_config(small.config(method={"mode": "fragment", "iterations": 2}))
    parts = [result.data, *result.data["sites"].values()]
    assert all(part["metrics"]["test"]["random_icl"] is None for part in parts)


# ------------------------------------------------------------------ budgets
@pytest.mark.parametrize("calls", [250, 1_000, 5_000])
@pytest.mark.parametrize("rows", [60, 500, 5_000])
def test_any_number_of_rows_goes_with_any_budget(small: Any, rows: int, calls: int) -> None:
    """One file of training rows, as a newcomer has it, and a test file of a fifth of its size."""
    texts = [
        {"text_a": f"row {k} was good", "label": ("positive", "negative")[k % 2]}
        for k in range(rows + rows // 5)
    ]
    data = {
        "train": small.write("rows.jsonl", texts[:rows]),
        "test": small.write("test.jsonl", texts[rows:]),
    }
    data |= dict.fromkeys(("validation", "site_column", "pool_per_class"))
    method = dict.fromkeys(("draws", "batch_size", "random_icl_draws", "confirm_candidates"))
    budget = {"test_share": None, "per_site": None, "calls": calls}
    config = small.config(data=data, budget=budget, method=method)
    setup = prepare_run(config, RunDirectory(config.run.dir))
    (site,) = setup.sites.values()
    site.close()
    needs, tuning = site.needs, calls - site.needs.evaluation.calls
    assert needs.looks <= max(0.15 * tuning, needs.validations)
    assert needs.validation_rows * needs.validations <= needs.looks
    assert needs.steps_within(Limits(calls=calls)) >= 1
    tested = needs.test_rows == len(site.prompts.data.test)
    assert tested or calls / 3 < needs.evaluation.calls <= calls / 2
    assert tested != any("test examples" in warning for warning in setup.warnings)


# ------------------------------------------------------------------ directories
def test_a_run_is_not_resumed_with_other_data(small: Any) -> None:
    rows = small.rows("train")
    train = small.write("mine.jsonl", rows)
    config = small.config(data={"train": train})
    with pytest.raises(Stop):
        run_config(config, observers=[stop_at(4)])
    before = {file: file.read_bytes() for file in config.run.dir.glob("sites/*/state")}
    rows[0]["text_a"] = f"{rows[0]['text_a']} indeed"
    small.write("mine.jsonl", rows)
    with pytest.raises(RunDirectoryError, match=r"other data than this run was started with"):
        resume_run(config.run.dir)
    assert {file: file.read_bytes() for file in before} == before
    small.write("mine.jsonl", small.rows("train")[::-1])
    assert resume_run(config.run.dir).data["iterations"] > 4, "the order of rows does not matter"


def test_settings_outside_of_the_agreement_are_kept_too(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.config()
    with pytest.raises(Stop):
        run_config(config, observers=[stop_at(4)])
    (config.run.dir / "config.toml").write_text(
        config.override({"federation.staleness": 3}).to_toml()
    )
    with pytest.raises(RunDirectoryError, match="other settings: resume with the config"):
        resume_run(config.run.dir)
    monkeypatch.setattr("asyndbt.run._session.package_version", lambda: "99.0")
    with pytest.raises(RunDirectoryError, match=r"wrote it and this is 99\.0: resume with that"):
        resume_run(config.run.dir)


def test_the_configuration_is_written_once(small: Any) -> None:
    config = small.config()
    with pytest.raises(Stop):
        run_config(config, observers=[stop_at(2)])
    stamp = (config.run.dir / "config.toml").stat().st_mtime_ns
    resume_run(config.run.dir)
    assert (config.run.dir / "config.toml").stat().st_mtime_ns == stamp


def test_the_log_does_not_say_where_it_lies(small: Any) -> None:
    seen: list[Event] = []
    result = run_config(small.config(method={"iterations": 2}), observers=[seen.append])
    assert seen[0].data["directory"] == str(result.directory)
    assert str(small.folder) not in (result.directory / "events.jsonl").read_text()


@pytest.mark.parametrize("strange", [False, True])
def test_texts_that_the_pocket_model_cannot_read_are_a_warning(small: Any, strange: bool) -> None:
    files = {
        part: small.write(
            f"strange-{part}.jsonl",
            [{**row, "text_a": f"{row['text_a']} zyxgwort qwlmpf"} for row in small.rows(part)],
        )
        for part in small.files
    }
    changes = {"data": files} if strange else {}
    result = run_config(small.config("strange", method={"iterations": 2}, **changes))
    told = [text for text in result.data["warnings"] if text.startswith("pocket model:")]
    assert len(told) == strange
    assert not any("zyxgwort" in text for text in told), "private words stay at the sites"
