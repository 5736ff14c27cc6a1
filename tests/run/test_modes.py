"""Every way to run: what is tuned, who holds the data, which preset, which feedback."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest

from asyndbt.errors import DataError
from asyndbt.run import run_config
from asyndbt.run._inputs import check_names


def test_demonstrations_alone(small: Any) -> None:
    unused = dict.fromkeys(("vocabulary", "vocabulary_limit", "fragment_length"))
    result = run_config(small.config(method={"mode": "demonstrations", **unused}))
    assert result.fragment == []
    for name in small.sites:
        prompt = result.prompt(name)
        assert len(prompt.demonstrations) == 2
        assert "Note:" not in prompt.text_template()
    kinds = Counter(event["kind"] for event in small.events(result.directory))
    assert kinds["refresh"] == 0
    traffic = small.read(result.directory / "traffic.json")
    assert all("in Confirm" not in kinds for kinds in traffic.values())


@pytest.mark.parametrize(("calibration", "loss"), [("none", "error"), ("batch", "expected_error")])
def test_what_tuning_lowers_by_default(small: Any, calibration: str, loss: str) -> None:
    runs = {
        given: run_config(
            small.config(
                given, method={"loss": given, "iterations": 2}, lm={"calibration": calibration}
            )
        )
        for given in ("auto", "error", "expected_error")
    }
    losses = {
        given: [event["loss"] for event in small.events(run.directory) if event["kind"] == "step"]
        for given, run in runs.items()
    }
    assert losses["error"] != losses["expected_error"]
    assert losses["auto"] == losses[loss]


def test_the_fragment_alone(small: Any) -> None:
    result = run_config(small.config(method={"mode": "fragment"}))
    assert len(result.fragment) == 3
    metrics = result.data["metrics"]["test"]
    assert metrics["random_icl"] is None, "there are no demonstrations to draw"
    assert metrics["plain"]["n"] == 3 * small.test
    for name in small.sites:
        prompt = result.prompt(name)
        assert prompt.demonstrations == ()
        assert prompt.fragment == tuple(result.fragment)


@pytest.mark.parametrize("quorum", ["majority", "all", 3])
def test_the_centralised_form_pools_all_data_at_one_worker(small: Any, quorum: Any) -> None:
    config = small.config(
        method={"centralised": True},
        federation={"quorum": quorum},
        budget={"per_site": {"calls": 3 * (small.least + 60)}},
    )
    result = run_config(config)
    (name,) = result.sites
    assert result.data["metrics"]["test"]["tuned"]["n"] == 3 * small.test
    assert result.data["ledger"]["calls"] == small.paid(result.directory)[name][0]
    step = [event for event in small.events(result.directory) if event["kind"] == "step"][-1]
    assert step["active"] == [name]
    assert step["planes"] == 0


@pytest.mark.parametrize("step", ["adam", "projection"])
def test_the_papers_preset_from_end_to_end(small: Any, step: str) -> None:
    settings = ("draws", "batch_size", "refresh_every", "plane_tolerance", "eta_p", "eta_q")
    config = small.config(
        method={
            "preset": "paper",
            **dict.fromkeys(settings),
            "step": step,
            "fragment_length": 12,
            "iterations": 3,
            "refresh_every": 2,
        },
        budget={"per_site": {"calls": 2_000}},
    )
    assert config.method.estimator == "reinforce"
    result = run_config(config)
    assert result.data["iterations"] == 3
    assert len(result.fragment) == 12
    assert any("close to uniform" in text for text in result.data["warnings"])


def test_answers_in_text_alone(small: Any) -> None:
    result = run_config(small.config(lm={"feedback": "text"}, method={"iterations": 4}))
    assert result.data["metrics"]["test"]["tuned"]["n"] == 3 * small.test
    assert 0 <= result.data["ledger"]["unparsed"] <= result.data["ledger"]["calls"]


@pytest.mark.parametrize(
    "method",
    [
        {"demonstrations_per_class": 2},
        {"demonstrations_per_class": None, "demonstrations_total": 3},
    ],
)
def test_more_demonstrations(small: Any, method: dict[str, Any]) -> None:
    calls = {"calls": small.least + 100}
    config = small.config(
        data={"pool_per_class": 6}, method={**method, "iterations": 3}, budget={"per_site": calls}
    )
    result = run_config(config)
    shown = 3 if "demonstrations_total" in method else 4
    for name in small.sites:
        demonstrations = result.prompt(name).demonstrations
        assert len(demonstrations) == shown
        assert len({example.content for example in demonstrations}) == shown, "none twice"


@pytest.mark.parametrize("kind", ["iid", "dirichlet"])
def test_one_data_set_cut_into_sites(small: Any, kind: str) -> None:
    config = small.config(
        data={
            "site_column": None,
            "pool_per_class": 2,
            "partition": {"sites": 2, "kind": kind, "alpha": 20.0},
        },
        method={"iterations": 3},
        budget={"per_site": {"calls": 500}},
    )
    result = run_config(config)
    assert len(result.sites) == 2
    assert result.data["metrics"]["test"]["tuned"]["n"] == 3 * small.test


def test_sites_with_files_of_their_own(small: Any) -> None:
    tables = {}
    for name in ("movies", "meals"):
        tables[name] = {
            part: small.write(
                f"{name}-{part}.jsonl",
                [
                    {k: row[k] for k in ("text_a", "label")}
                    for row in small.rows(part)
                    if row["site"] == name
                ],
            )
            for part in ("train", "validation", "test")
        }
    data = {"train": None, "validation": None, "test": None, "site_column": None, "sites": tables}
    result = run_config(small.config(data=data, method={"iterations": 3}))
    assert result.sites == ["meals", "movies"]
    assert result.data["metrics"]["test"]["tuned"]["n"] == 2 * small.test


def test_one_site_alone(small: Any) -> None:
    rows = {part: small.rows(part) for part in small.files}
    files = {
        part: small.write(f"alone-{part}.jsonl", [r for r in rows[part] if r["site"] == "meals"])
        for part in rows
    }
    result = run_config(small.config(data={**files, "site_column": None}))
    assert result.sites == ["local"]
    assert result.prompt().fragment == tuple(result.fragment)


def test_without_test_data_nothing_is_measured(small: Any) -> None:
    result = run_config(small.config(data={"test": None}, method={"iterations": 2}))
    assert result.data["metrics"]["test"] == {"plain": None, "random_icl": None, "tuned": None}
    assert len(result.prompt("meals").demonstrations) == 2


def test_n_grams_of_the_sites_as_a_vocabulary(small: Any) -> None:
    method = {"vocabulary": "pmi", "vocabulary_limit": 30, "iterations": 3}
    result = run_config(small.config(method=method))
    texts = [" ".join(r["text_a"].split()) for r in small.rows("train")]
    for entry in result.fragment:
        sites = {
            row["site"]
            for row, text in zip(small.rows("train"), texts, strict=True)
            if entry in text
        }
        assert len(sites) >= 2, "told only where two sites have it"


def test_bad_data_is_said_before_anything_is_made(small: Any, asked: Any) -> None:
    rows = [{**row, "site": "../up"} for row in small.rows("train")]
    file = small.write("bad.jsonl", rows)
    config = small.config(data={"train": file, "validation": None, "test": None})
    with pytest.raises(DataError, match=r"site '\.\./up': a site's name starts with a letter"):
        run_config(config)
    assert asked.prompts == []
    assert not config.run.dir.exists()


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (["North", "north"], r"'North' and 'north': the names differ in case only.* rename one"),
        (["n" * 300], r"site 'nnn.*: a site's name has 60 characters at most; this one has 300"),
        (["north."], r"site 'north\.': a site's name does not end in a space or a full stop"),
        (["aux"], r"site 'aux': a site's name is not that of a device on some systems"),
        (["north", "Köln 2", "दिल्ली", "北京", "n" * 60, "-".join("ab")], None),
    ],
)
def test_a_site_can_have_a_folder_on_any_disk(sites: list[str], message: str | None) -> None:
    with pytest.raises(DataError, match=message) if message else nullcontext():
        check_names(sites)


def test_every_site_is_tested_on_all_test_rows_that_are_shared(small: Any) -> None:
    data = {"site_column": None, "partition": {"sites": 3, "test": "shared"}}
    every = 3 * small.test
    apart = run_config(small.config("apart", data=data, method={"iterations": 2})).data
    for name in ("site-1", "site-2", "site-3"):
        assert apart["sites"][name]["metrics"]["test"]["tuned"]["n"] == every
    assert apart["metrics"]["test"]["tuned"]["n"] == 3 * every
    low, high = apart["metrics"]["test"]["plain"]["interval"]
    alone = apart["sites"]["site-1"]["metrics"]["test"]["plain"]
    assert [low, high] == alone["interval"], "the same rows three times say what they say once"
    pooled = small.config(
        "pooled",
        data=data,
        method={"iterations": 2, "centralised": True},
        budget={"per_site": {"calls": 500}},
    )
    assert run_config(pooled).data["metrics"]["test"]["tuned"]["n"] == every


def test_a_run_that_does_not_improve_is_stopped_early(small: Any) -> None:
    still = {"eta_p": 0.0, "eta_q": 0.0, "psi": 0.0, "validations": 6}
    budget = {"per_site": {"calls": small.least + 3 * small.validation + 40 * small.step}}
    tables = {"budget": budget, "federation": {"quorum": "all"}}
    early = run_config(small.config("early", method={**still, "patience": 2}, **tables))
    whole = run_config(small.config("whole", method=still, **tables))
    assert early.data["stop_reason"] == "early stopping"
    assert whole.data["stop_reason"] == "budget"
    assert early.data["iterations"] < 0.8 * whole.data["iterations"]
    looks: dict[str, list[float]] = {name: [] for name in small.sites}
    for event in small.events(early.directory):
        if event["kind"] == "step":
            for name, look in event["validation"].items():
                looks[name].append(look["loss"])
    still_sites = [losses for losses in looks.values() if min(losses[-2:]) >= min(losses[:-2])]
    assert len(still_sites) >= 2
    assert early.data["metrics"]["test"]["tuned"]["n"] == 3 * small.test
