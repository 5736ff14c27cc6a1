"""Every way to run: what is tuned, who holds the data, which preset, which feedback."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from asyndbt.errors import DataError
from asyndbt.run import run_config


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
