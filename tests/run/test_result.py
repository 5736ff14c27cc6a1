"""What a run promises: its record, its figures, and that nothing was decided by the test data."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from asyndbt.errors import ConfigError, DataError
from asyndbt.prompt import TunedPrompt, fold
from asyndbt.run import Event, Result, estimate_run, run_config
from asyndbt.run._notebook import result_html

KINDS = ("plain", "random_icl", "tuned")


@pytest.fixture
def finished(one_run: Any) -> Result:
    return one_run[0]


@pytest.fixture
def asked(one_run: Any) -> Any:
    return one_run[1]


def test_the_result_has_everything_that_is_promised(finished: Result, small: Any) -> None:
    data = finished.data
    assert data["schema_version"] == 1
    assert data["stop_reason"] in {"budget", "iterations", "converged"}
    assert data["iterations"] >= 10
    assert len(data["fragment"]) == 3
    for part, n in [(data, 3 * small.test)] + [(data["sites"][s], small.test) for s in small.sites]:
        for kind in KINDS:
            told = part["metrics"]["test"][kind]
            low, high = told["interval"]
            assert 0 <= low <= told["accuracy"] <= high <= 1
            assert told["n"] == n
    assert set(data["sites"]) == set(small.sites)
    assert {"calls", "cached", "tokens_in", "tokens_out", "money"} <= set(data["ledger"])
    assert data["seed"] == 3
    assert data["versions"]["asyndbt"] == version("asyndbt")
    assert data == small.read(finished.directory / "result.json")


def test_overall_figures_pool_the_sites(finished: Result) -> None:
    overall, sites = finished.data["metrics"]["test"], finished.data["sites"].values()
    for kind in KINDS:
        shares = [site["metrics"]["test"][kind] for site in sites]
        correct = sum(share["accuracy"] * share["n"] for share in shares)
        assert overall[kind]["accuracy"] == pytest.approx(correct / overall[kind]["n"], abs=1e-5)


def test_the_ledger_is_the_sum_of_the_answers_that_were_paid(
    finished: Result, small: Any, asked: Any
) -> None:
    ledger, paid = finished.data["ledger"], small.paid(finished.directory).values()
    calls, tokens_in, tokens_out = (sum(column) for column in zip(*paid, strict=True))
    assert (ledger["calls"], ledger["tokens_in"], ledger["tokens_out"]) == (
        calls,
        tokens_in,
        tokens_out,
    )
    assert ledger["calls"] == len(asked.prompts), "every request is in the ledger"
    by_site = [(site, text) for site, _, text in asked.prompts]
    assert len(set(by_site)) == len(by_site), "no site pays for the same prompt twice"
    assert ledger["cached"] > 0
    assert (ledger["failed"], ledger["unparsed"], ledger["money"]) == (0, 0, 0.0)


def test_the_step_events_count_the_same_calls(finished: Result, small: Any) -> None:
    steps = [event for event in small.events(finished.directory) if event["kind"] == "step"]
    assert [event["iteration"] for event in steps] == list(range(1, len(steps) + 1))
    assert len(steps) == finished.data["iterations"]
    assert all(event["calls_total"] <= finished.data["ledger"]["calls"] for event in steps)
    assert {"entropy_p", "entropy_q", "loss", "staleness", "active"} <= set(steps[-1])


# ------------------------------------------------------------------ demonstrations and prompts
def test_demonstrations_lie_in_the_sites_own_parts_only(finished: Result, small: Any) -> None:
    everything = {
        file: file.read_bytes() for file in finished.directory.iterdir() if file.is_file()
    }
    for name in small.sites:
        part = small.read(finished.directory / "sites" / name / "result.json")
        texts = {row["text_a"] for row in small.rows("train") if row["site"] == name}
        assert [shown["label"] for shown in part["demonstrations"]] == list(small.task.labels)
        assert part["fragment"] == finished.fragment
        for shown in part["demonstrations"]:
            assert shown["text_a"] in texts
            assert all(shown["text_a"].encode() not in data for data in everything.values())
    assert all("demonstrations" not in site for site in finished.data["sites"].values())


def test_the_prompt_given_out_is_the_prompt_that_was_scored(
    finished: Result, small: Any, asked: Any
) -> None:
    scored = set(asked.texts("Evaluate"))
    for row in small.rows("test"):
        template = (finished.directory / "sites" / row["site"] / "prompt.txt").read_text()
        from_file = template.removesuffix("\n").format(text_a=fold(row["text_a"]))
        from_object = finished.prompt(row["site"]).render(text_a=row["text_a"]).text
        assert from_file == from_object
        assert from_file in scored


def test_predictions_repeat_the_accuracy_that_was_told(finished: Result, small: Any) -> None:
    for name in small.sites:
        rows = [row for row in small.rows("test") if row["site"] == name]
        predicted = finished.predict(rows, name)
        right = sum(row["prediction"] == row["label"] for row in predicted)
        told = finished.data["sites"][name]["metrics"]["test"]["tuned"]
        assert right == round(told["accuracy"] * told["n"])
        assert sum(predicted[0]["scores"].values()) == pytest.approx(1.0, abs=1e-5)


def test_a_prompt_is_asked_for_by_the_name_of_its_site(finished: Result) -> None:
    with pytest.raises(ConfigError, match="name a site; the run has: meals, movies, phones"):
        finished.prompt()
    with pytest.raises(ConfigError, match="there is no site 'mars'"):
        finished.prompt("mars")
    with pytest.raises(DataError, match="row 1: there is no column 'text_a'"):
        finished.predict([{"text": "fine"}], "meals")


# ------------------------------------------------------------------ the test split
def _queries(asked: Any, kinds: set[str]) -> Iterator[tuple[str, str]]:
    for site, kind, text in asked.prompts:
        if kind in kinds:
            yield site, text


def test_no_test_text_is_in_any_prompt_before_the_evaluation(
    finished: Result, small: Any, asked: Any
) -> None:
    kinds = {kind for _, kind, _ in asked.prompts}
    assert kinds == {"Step", "Confirm", "Evaluate"}
    marks = [f'"{row["text_a"]}"' for row in small.rows("test")]
    before = [text for _, text in _queries(asked, {"Step", "Confirm"})]
    assert len(before) > 200
    assert not [mark for mark in marks for text in before if mark in text]
    evaluated = [text for _, text in _queries(asked, {"Evaluate"})]
    assert all(any(mark in text.splitlines()[-1] for text in evaluated) for mark in marks)
    assert not [
        mark for mark in marks for text in evaluated if mark in "\n".join(text.splitlines()[:-1])
    ], "no test text is ever shown as a demonstration"


def test_at_the_evaluation_everything_is_decided_before_the_first_test_prompt(
    finished: Result, small: Any, asked: Any
) -> None:
    marks = [f'"{row["text_a"]}"' for row in small.rows("test")]
    for name in small.sites:
        asks = [
            any(mark in text.splitlines()[-1] for mark in marks)
            for site, text in _queries(asked, {"Evaluate"})
            if site == name
        ]
        assert asks == sorted(asks), "validation first, then test, and nothing after it"


def test_every_site_is_asked_about_its_own_examples_only(
    finished: Result, small: Any, asked: Any
) -> None:
    rows = [row for part in small.files for row in small.rows(part)]
    homes: dict[str, set[str]] = {}
    for row in rows:
        homes.setdefault(f'"{row["text_a"]}"', set()).add(row["site"])
    for site, _, text in asked.prompts:
        for line in text.splitlines():
            mark = line[line.index('"') : line.rindex('"') + 1]
            assert site in homes[mark]


# ------------------------------------------------------------------ observers, and one directory
def test_observers_see_what_the_event_log_holds(small: Any) -> None:
    seen: list[Event] = []
    result = run_config(small.config(method={"iterations": 3}), observers=[seen.append])
    lines = small.events(result.directory)
    assert [event.kind for event in seen] == [line["kind"] for line in lines]
    assert seen[0].kind == "start"
    assert set(seen[0].data["sites"]) == set(small.sites)
    assert seen[-1].kind == "result"
    assert json.loads(json.dumps(seen[-1].data)) == result.data


@pytest.mark.parametrize("error", [ConnectionError("no route"), DataError("bad"), ValueError()])
def test_an_observer_that_fails_is_switched_off_and_the_run_goes_on(
    small: Any, error: Exception
) -> None:
    asked: list[str] = []
    seen: list[Event] = []

    def broken(event: Event) -> None:
        asked.append(event.kind)
        if event.kind == "step":
            raise error

    config = small.config(method={"iterations": 2})
    reason = str(error) or "ValueError"
    with pytest.warns(UserWarning, match=f"observer broken .* switched off; .*: {reason}"):
        result = run_config(config, observers=[broken, seen.append])
    assert asked.count("step") == 1
    assert [event.kind for event in seen].count("step") == 2
    assert result.data["iterations"] == 2


def test_the_same_configuration_gives_the_same_bytes(small: Any) -> None:
    one, two = (run_config(small.config(name)).directory for name in ("one", "two"))
    assert small.outcome(one) == small.outcome(two)
    assert small.story(one) == small.story(two)


def test_a_run_closes_every_database_that_it_opens(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*args: Any, **keys: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **keys))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    estimate_run(small.config())
    run_config(small.config())
    assert len(opened) > len(small.sites)
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_another_seed_gives_another_run(small: Any) -> None:
    one = run_config(small.config("one"))
    two = run_config(small.config("two", run={"seed": 4}))
    assert small.story(one.directory) != small.story(two.directory)


def test_an_unfinished_run_has_no_result(small: Any, tmp_path: Path) -> None:
    directory = tmp_path / "begun"
    directory.mkdir()
    (directory / "config.toml").write_text("")
    with pytest.raises(DataError, match="asyndbt resume"):
        Result(directory)


class Cells(HTMLParser):
    """The rows of a table, the texts of all prompts, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.prompts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag == "pre":
            self.prompts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data
        if "pre" in self.open:
            self.prompts[-1] += data


def test_a_notebook_shows_accuracies_calls_and_prompts(finished: Result) -> None:
    html = finished._repr_html_()
    found = Cells(html)
    assert found.open == []
    assert [row[0] for row in found.rows[1:]] == [*finished.sites, "all sites"]
    for kind, cell in zip(KINDS, found.rows[-1][1:], strict=False):
        told = finished.data["metrics"]["test"][kind]
        low, high = (100 * end for end in told["interval"])
        assert cell == f"{100 * told['accuracy']:.1f}\N{NO-BREAK SPACE}% ({low:.1f}–{high:.1f})"
    assert found.prompts == [finished.prompt(site).text_template() for site in finished.sites]
    assert f"{finished.data['ledger']['calls']:,} calls" in html


def test_a_notebook_shows_what_a_result_lacks(finished: Result) -> None:
    """Such as that of a site on its own machine, and texts that look like HTML."""
    task = replace(finished.prompt("meals").task, instruction="<b>{text_a}</b> & so")
    prompt = TunedPrompt(task)
    data = {"sites": {}, "metrics": {"test": dict.fromkeys(KINDS)}}
    html = result_html("<run>", data, {"<site>": prompt})
    found = Cells(html)
    assert found.open == []
    assert found.rows == []
    assert found.prompts == [prompt.text_template()]
    assert "<b>{text_a}" not in html
    assert "no test data" in html
