"""Whole runs over HTTP: the same prompts as without it, no request uncounted, none paid twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults import server as faults
from tests.faults.server import Reply, failure

from asyndbt.baselines import resume_run
from asyndbt.cli import main
from asyndbt.errors import ModelError
from asyndbt.lm import RetryPolicy
from asyndbt.pocket._server import PocketServer
from asyndbt.run import run_config

PROBE = 2
"""Requests that find out what an endpoint takes; these are answered and not kept."""
VIRTUAL = {"engine": "virtual", "quorum": 2}
FREE = [failure(429), failure(500), failure(503)]
BILLED = [faults.reset(), faults.reset_midway(), faults.broken_json(), faults.no_choices()]


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    of = RetryPolicy.of
    monkeypatch.setattr(RetryPolicy, "of", lambda options: replace(of(options), first_delay=0.001))


def by_chance(share: float, replies: list[Reply], seed: int = 0) -> Callable[[int], Reply | None]:
    """A share of the requests after the probe meets one of the replies."""
    rng = random.Random(seed)
    fates = [rng.choice(replies) if rng.random() < share else None for _ in range(5000)]
    return lambda number: fates[number] if number >= PROBE else None


def tuned(directory: Path) -> dict[str, bytes]:
    """What a run is for: every site's tuned prompt and demonstrations."""
    files = [*directory.glob("sites/*/prompt.txt"), *directory.glob("sites/*/result.json")]
    return {str(file.relative_to(directory)): file.read_bytes() for file in sorted(files)}


# ------------------------------------------------------------------ the pocket model
@pytest.mark.parametrize("federation", [VIRTUAL, {"quorum": "all"}], ids=["virtual", "all"])
def test_the_pocket_model_over_http_is_the_pocket_model(kit: Any, federation: Any) -> None:
    """Where nothing depends on who is first; both labels are among the alternatives told."""
    changes = {"federation": federation, "method": {"iterations": 4}}
    inside = run_config(kit.config("inside", **changes, budget=kit.budget)).data
    with PocketServer() as server:
        result = run_config(kit.over(server.url, **changes))
        received = server.requests
    over = result.data
    for same in ("fragment", "metrics", "sites", "iterations", "stop_reason", "warnings"):
        assert over[same] == inside[same]
    assert tuned(result.directory) == tuned(kit.folder / "inside")
    assert over["ledger"]["sent"] == over["ledger"]["calls"] == received
    assert received == inside["ledger"]["sent"] + PROBE
    record = kit.read(result.directory / "model.json")
    assert record == over["model"]
    assert (record["facts"]["model"], record["facts"]["logprobs"]) == ("pocket", 20)
    assert record["probe"]["calls"] == PROBE
    assert (
        over["ledger"]["tokens_in"] == inside["ledger"]["tokens_in"] + record["probe"]["tokens_in"]
    )


@pytest.mark.parametrize("feedback", ["text", "votes"])
def test_the_pocket_model_in_words(kit: Any, feedback: str) -> None:
    with PocketServer() as server:
        changes = {"lm": {"feedback": feedback}, "method": {"iterations": 2}}
        data = run_config(kit.over(server.url, **changes)).data
        assert data["ledger"]["sent"] == server.requests
    assert data["metrics"]["test"]["tuned"]["n"] == 3 * kit.test
    assert "logprobs" not in data["model"]["facts"]


# ------------------------------------------------------------------ faults
@pytest.mark.parametrize(("retries", "share"), [(0, 0.1), (4, 0.2)])
def test_a_run_bears_faults_and_counts_them(kit: Any, retries: int, share: float) -> None:
    replies = [*FREE, *BILLED, faults.html(), faults.wrong_shape(), faults.filtered()]
    changes = {
        "lm": {"max_retries": retries},
        "method": {"iterations": 6},
        "budget": {"per_site": {"calls": 2 * kit.least}},
    }
    with kit.endpoint(by_chance(share, replies)) as server:
        data = run_config(kit.over(server.url, **changes)).data
    ledger, told = data["ledger"], " ".join(data["warnings"])
    rows = kit.rows(kit.folder / "run", "answers"), kit.rows(kit.folder / "run", "attempts")
    assert ledger["sent"] == server.count == PROBE + sum(rows)
    assert rows[1] > 0.5 * share * server.count
    assert ledger["refused"] > 0
    assert ("requests failed" in told) == (retries == 0)
    assert (ledger["failed"] > 0.05 * ledger["calls"]) == (retries == 0)
    assert "gone" not in told
    assert 2 * kit.test < data["metrics"]["test"]["tuned"]["n"] <= 3 * kit.test


def test_a_probe_that_fails_is_paid_and_counted_when_the_run_starts_again(kit: Any) -> None:
    """Two requests are billed and lost, the third is turned down for good."""
    fates = {0: faults.reset(), 1: faults.broken_json(), 2: failure(401, "no such key")}
    changes = {"method": {"iterations": 2}, "lm": {"price_in": 1.0, "price_out": 1.0}}
    with kit.endpoint(fates.get) as server:
        config = kit.over(server.url, **changes)
        with pytest.raises(ModelError, match="no such key"):
            run_config(config)
        assert not (config.run.dir / "model.json").exists()
        result = run_config(config).data
        assert result["ledger"]["sent"] == server.count
    probe = result["model"]["probe"]
    assert (probe["sent"], probe["calls"]) == (3 + PROBE, 2 + PROBE)
    assert result["ledger"]["calls"] == server.count - 1
    sites = [kit.rows(kit.folder / "run", table) for table in ("answers", "attempts")]
    assert sum(sites) + probe["sent"] == server.count


@pytest.mark.parametrize("status", [401, 402, 404])
def test_a_run_that_cannot_succeed_is_one_request(kit: Any, capsys: Any, status: int) -> None:
    with kit.endpoint(lambda number: failure(status, "what the endpoint says of it")) as server:
        config = kit.over(server.url)
        assert main(["run", str(kit.written(config)), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert (server.count, out) == (1, "")
    assert f"asyndbt: error: HTTP {status}: what the endpoint says of it; check " in err
    assert {file.name for file in config.run.dir.iterdir()} == {"lock", "probe.sqlite"}


def test_a_key_that_ends_on_the_way_stops_and_the_run_goes_on_with_another(kit: Any) -> None:
    ended = failure(401, "no more")
    with kit.endpoint(lambda number: ended if 100 <= number < 112 else None) as server:
        config = kit.over(server.url, lm={"max_concurrency": 3})
        stops = 0
        while server.count < 112:
            with pytest.raises(ModelError, match="no more"):
                run_config(config) if not stops else resume_run(config.run.dir)
            stops += 1
            assert server.count <= 100 + 3 * len(kit.sites) * stops
        data = resume_run(config.run.dir).data
    answers = kit.rows(config.run.dir, "answers")
    broken_off = kit.rows(config.run.dir, "attempts", "why = 'interrupted'")
    assert data["ledger"]["sent"] == server.count
    assert data["ledger"]["calls"] == PROBE + answers + broken_off
    # What the server answered while the key's end broke the others off may not have arrived.
    replied = len(kit.answered(server.requests[PROBE:100] + server.requests[112:]))
    assert answers <= replied <= answers + broken_off


# ------------------------------------------------------------------ answers without a label
NOTHING = "I cannot help with that, said the canary."


def labels_until(last: int) -> Callable[[int], Reply | None]:
    return lambda number: faults.completion(NOTHING) if number >= last else None


@pytest.mark.parametrize("feedback", ["text", "votes", "logprobs"])
def test_a_run_whose_answers_name_no_label_stops_and_says_what_they_are(
    kit: Any, capsys: Any, feedback: str
) -> None:
    def fate(number: int) -> Reply:
        odds = [{"I": -0.1, "We": -3.0}] if feedback == "logprobs" else None
        reply = faults.completion(NOTHING, logprobs=odds)
        body = json.loads(reply.body)
        body["choices"] *= 5
        return replace(reply, body=json.dumps(body).encode())

    with kit.endpoint(fate) as server:
        config = kit.over(server.url, lm={"feedback": feedback, "max_concurrency": 1})
        assert main(["run", str(kit.written(config)), "--quiet"]) == 1
    err = capsys.readouterr().err
    assert "answers in a row name none of" in err
    assert NOTHING in err
    assert server.count <= PROBE + 40 * len(kit.sites)
    for file in config.run.dir.rglob("*.json*"):
        assert "canary" not in file.read_text("utf-8")


def test_a_run_stops_too_if_its_answers_name_none_any_more(kit: Any) -> None:
    changes = {
        "lm": {"feedback": "text", "max_concurrency": 1},
        "budget": {"per_site": {"calls": kit.least + 30 * kit.step}},
    }
    with kit.endpoint(labels_until(60)) as server:
        config = kit.over(server.url, **changes)
        with pytest.raises(ModelError, match="in a row name none of"):
            run_config(config)
    assert server.count <= 60 + 40 * len(kit.sites)


def test_check_says_that_no_answer_names_a_label(kit: Any, capsys: Any, caplog: Any) -> None:
    with kit.endpoint(labels_until(0)) as server:
        config = kit.over(server.url, lm={"feedback": "text"})
        assert main(["check", str(kit.written(config))]) == 0
    assert server.count == PROBE
    assert "Warning: 0 of 2 answers to the first prompts name a label" in capsys.readouterr().out
    assert NOTHING in caplog.text


def test_answers_without_a_label_count_as_wrong_and_the_warning_says_so(kit: Any) -> None:
    fate = by_chance(0.2, [faults.completion("It depends.")])
    with kit.endpoint(fate) as server:
        config = kit.over(server.url, lm={"feedback": "text"}, method={"iterations": 3})
        data = run_config(config).data
    assert data["ledger"]["unparsed"] > 0
    assert data["metrics"]["test"]["tuned"]["n"] == 3 * kit.test
    (told,) = [text for text in data["warnings"] if "name no label" in text]
    assert told.endswith("in accuracies they count as wrong")


# ------------------------------------------------------------------ budget
@pytest.mark.parametrize(("retries", "replies"), [(0, FREE + BILLED), (4, FREE)])
def test_a_cap_on_calls_holds_at_the_server_whatever_fails(
    kit: Any, retries: int, replies: list[Reply]
) -> None:
    cap = 3 * kit.least + 40
    fate = by_chance(0.2, replies)
    changes = {"budget": {"per_site": None, "calls": cap}, "lm": {"max_retries": retries}}
    with kit.endpoint(fate) as server:
        ledger = run_config(kit.over(server.url, **changes)).data["ledger"]
    charged = [number for number in range(server.count) if fate(number) not in FREE]
    assert len(charged) == ledger["calls"] <= cap
    assert ledger["sent"] == server.count


def test_paid_answers_that_were_lost_cost_no_site_its_place_at_the_end(kit: Any) -> None:
    def every_fourth(number: int) -> Reply | None:
        return faults.reset_midway() if number >= PROBE and number % 4 == 0 else None

    with kit.endpoint(every_fourth) as server:
        data = run_config(kit.over(server.url)).data
    assert data["ledger"]["calls"] == server.count <= PROBE + 3 * kit.budget["per_site"]["calls"]
    assert not any("gone" in warning for warning in data["warnings"])
    assert data["metrics"]["test"]["tuned"]["n"] > 2 * kit.test


def test_tokens_and_money_are_capped_by_what_the_server_says(kit: Any) -> None:
    caps = {"per_site": None, "tokens": 40_000, "money": 20_000.0}
    prices = {"price_in": 250_000.0, "price_out": 500_000.0}
    fate = by_chance(0.1, FREE)
    with kit.endpoint(fate) as server:
        data = run_config(kit.over(server.url, budget=caps, lm=prices)).data
    ledger = data["ledger"]
    assert data["stop_reason"] == "budget"
    assert ledger["tokens_in"] + ledger["tokens_out"] <= caps["tokens"]
    assert ledger["money"] == 0.25 * ledger["tokens_in"] + 0.5 * ledger["tokens_out"]
    assert ledger["money"] <= caps["money"]
    # Every answer of this endpoint is one token.
    assert ledger["tokens_out"] == sum(fate(number) is None for number in range(server.count))


def test_more_budget_goes_on_and_asks_nothing_again(kit: Any) -> None:
    fate = by_chance(0.1, FREE)
    with kit.endpoint(fate) as server:
        first = run_config(kit.over(server.url)).data
        asked = server.count
        more = {"per_site": {"calls": kit.least + 25 * kit.step}}
        second = resume_run(kit.folder / "run", budget=more).data
        third = resume_run(kit.folder / "run").data
    assert first["stop_reason"] == second["stop_reason"] == "budget"
    assert first["ledger"]["sent"] == asked
    assert second["iterations"] > first["iterations"]
    assert second["ledger"]["sent"] == server.count > asked
    assert max(kit.answered(server.requests[PROBE:], fate).values()) == 1
    assert third == second


def test_more_budget_in_process(kit: Any, asked: Any) -> None:
    first = run_config(kit.config()).data
    more = {"per_site": {"calls": kit.least + 20 * kit.step}}
    second = resume_run(kit.folder / "run", budget=more).data
    assert second["iterations"] > first["iterations"]
    assert second["ledger"]["sent"] == len(asked.prompts) > first["ledger"]["sent"]
    assert len(set(asked.texts("Step", "Confirm", "Evaluate"))) == len(asked.prompts)


# ------------------------------------------------------------------ one cache
def test_a_second_run_with_the_same_cache_sends_its_probe_alone(kit: Any) -> None:
    changes = {
        "lm": {"cache": str(kit.folder / "shared.sqlite")},
        "federation": VIRTUAL,
        "method": {"iterations": 4},
    }
    with kit.endpoint(by_chance(0.1, [faults.filtered()])) as server:
        one = run_config(kit.over(server.url, "one", **changes)).data
        sent = server.count
        two = run_config(kit.over(server.url, "two", **changes)).data
    assert (one["ledger"]["sent"], two["ledger"]["sent"]) == (sent, PROBE)
    assert server.count == sent + PROBE
    assert two["metrics"] == one["metrics"]
    assert tuned(kit.folder / "two") == tuned(kit.folder / "one")
    assert not list(kit.folder.glob("*/sites/*/answers.sqlite"))
