"""Calibration in whole runs, with a model that always prefers one label."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from asyndbt.baselines import methods, resume_run, run_method
from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.lm import LabelPrior, Prompt, read_answers
from asyndbt.run import Event, Result
from asyndbt.run._inputs import load_inputs
from asyndbt.scoring import calibration_queries
from asyndbt.testing import ScriptedLanguageModel

NAMES = [name for name in methods() if name != "encoder-mlp"]
BY_NEIGHBOURS = ("kate", "adaicl")


class BiasedModel(ScriptedLanguageModel):
    """Prefers the last label of every query, more or less of it by the demonstrations shown."""

    def __init__(self, tiny: Any) -> None:
        rows = [row for part in tiny.files for row in tiny.rows(part)]
        self._right = {row["text_a"]: row["label"] for row in rows}
        super().__init__(self._biased, name="biased")

    def _biased(self, prompt: Prompt, labels: Sequence[str]) -> list[float]:
        bias = 2.0 + 0.3 * (zlib.crc32(repr(prompt.shots).encode()) % 100) / 100
        known = [label for text, label in self._right.items() if f'"{text}"' in prompt.query]
        signal = {"positive": 0.5, "negative": -0.5}[known[0]] if known else 0.0
        return [signal, bias - signal]


def config_of(tiny: Any, calibration: str, place: str = "run", calls: int = 400) -> Config:
    changes = {"lm.calibration": calibration, "budget.per_site": {"calls": calls}}
    return tiny.config(place, **changes)  # type: ignore[no-any-return]


def run(tiny: Any, method: str, *where: Any) -> Result:
    return run_method(method, config_of(tiny, *where), model=BiasedModel(tiny))


def accuracy(result: Result, kind: str = "tuned") -> float:
    return float(result.data["metrics"]["test"][kind]["accuracy"])


@pytest.mark.parametrize("name", NAMES)
def test_the_bias_keeps_every_method_at_chance_until_it_is_taken_out(tiny: Any, name: str) -> None:
    assert accuracy(run(tiny, name, "none", "plain")) == 0.5
    calibrated = run(tiny, name, "batch")
    assert accuracy(calibrated) >= 0.9
    assert min(accuracy(calibrated, kind) for kind in ("plain", "random_icl")) >= 0.9


@pytest.mark.parametrize("name", NAMES)
def test_content_free_queries_are_paid_and_take_the_bias_out(tiny: Any, name: str) -> None:
    if name in BY_NEIGHBOURS:
        with pytest.raises(ConfigError, match=r'lm.calibration = "contextual" needs a prompt that'):
            run(tiny, name, "contextual")
        return
    result = run(tiny, name, "contextual")
    assert accuracy(result) == 1.0
    calls = result.data["ledger"]["calls"]
    assert calls == tiny.paid(result.directory)
    assert calls <= len(tiny.sites) * result.config.budget.per_site.calls


def test_the_least_budget_is_enough_and_is_kept(tiny: Any) -> None:
    """A step of 3 draws on 2 queries, 5 looks and 4 kinds of prompt, 3 content-free for each."""
    least = 3 * (2 + 3) + 5 * (1 + 3) + 4 * (tiny.test + 3)
    data = run(tiny, "asyndbt", "contextual", "run", least).data
    assert data["ledger"]["calls"] <= len(tiny.sites) * least
    assert data["metrics"]["test"]["tuned"]["n"] == 2 * tiny.test
    assert data["iterations"] > 0


@pytest.mark.parametrize("calibration", ["batch", "contextual"])
@pytest.mark.parametrize("name", ["asyndbt", "halving", "random-icl", "bdpl"])
def test_predictions_are_those_of_the_evaluation(tiny: Any, name: str, calibration: str) -> None:
    result = run(tiny, name, calibration)
    for site in tiny.sites:
        rows = [row for row in tiny.rows("test") if row["site"] == site]
        told = result.predict(rows, site)
        known = result.data["sites"][site]["metrics"]["test"]["tuned"]
        right = [row["label"] == row["prediction"] for row in told]
        losses = [-math.log(row["scores"][row["label"]]) for row in told]
        assert np.mean(right) == known["accuracy"]
        # What leaves a site has two decimals.
        assert np.mean(losses) == pytest.approx(known["loss"], abs=0.0051)


@pytest.mark.parametrize("calibration", ["batch", "contextual"])
@pytest.mark.parametrize("name", ["asyndbt", "random-search"])
def test_the_prior_is_kept_and_owes_nothing_to_the_test_split(
    tiny: Any, name: str, calibration: Any
) -> None:
    result = run(tiny, name, calibration)
    inputs = load_inputs(result.config)
    for site in tiny.sites:
        prompt, words = result.prompt(site), inputs.task.label_words
        queries = calibration_queries(calibration, inputs.task, inputs.sites[site].data)
        asked = [prompt.render(**query.fields) for query in queries]
        answers = asyncio.run(BiasedModel(tiny).score(asked, words))
        assert prompt.prior == LabelPrior.of(read_answers(answers, words, "logprobs"))
        assert not set(queries) & set(inputs.sites[site].data.test)
        record = tiny.read(result.directory / "sites" / site / "result.json")
        shares = np.exp(prompt.prior.log_probabilities)
        assert record["prior"] == dict(zip(prompt.task.labels, shares, strict=True))


def test_a_run_without_calibration_knows_no_prior(tiny: Any) -> None:
    result = run(tiny, "random-icl", "none")
    assert result.prompt("meals").prior is None
    for name in ("prompt.json", "result.json"):
        assert "prior" not in tiny.read(result.directory / "sites" / "meals" / name)


@pytest.mark.parametrize("calibration", ["batch", "contextual"])
@pytest.mark.parametrize("moment", [("step", 3), ("phase", 1), ("phase", 2), ("result", 1)])
def test_interrupted_and_resumed_is_uninterrupted(
    tiny: Any, calibration: str, moment: tuple[str, int]
) -> None:
    seen: list[str] = []

    def stop(event: Event) -> None:
        seen.append(event.kind)
        if event.kind == moment[0] and seen.count(event.kind) == moment[1]:
            raise KeyboardInterrupt

    whole = run(tiny, "asyndbt", calibration, "whole").directory
    config = config_of(tiny, calibration, "broken")
    with pytest.raises(KeyboardInterrupt):
        run_method("asyndbt", config, observers=[stop], model=BiasedModel(tiny))
    broken = resume_run(config.run.dir, model=BiasedModel(tiny)).directory
    for site in tiny.sites:
        for name in ("state", "prompt.json", "result.json"):
            part = f"sites/{site}/{name}"
            assert (broken / part).read_bytes() == (whole / part).read_bytes(), part
    assert (broken / "result.json").read_bytes() == (whole / "result.json").read_bytes()
