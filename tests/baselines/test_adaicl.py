"""AdaICL annotates what the model is unsure of, within its annotations and its budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from asyndbt.baselines import run_method
from asyndbt.baselines._adaicl import AdaICL
from asyndbt.errors import ConfigError
from asyndbt.lm import Prompt
from asyndbt.testing import ScriptedLanguageModel


def annotated(tiny: Any, directory: Any) -> dict[str, list[str]]:
    return {
        site: [
            row["text_a"]
            for row in json.loads((directory / "sites" / site / "result.json").read_text())[
                "retrieved_from"
            ]
        ]
        for site in tiny.sites
    }


def test_adaicl_annotates_what_the_model_is_unsure_of(tiny: Any) -> None:
    """With no links every candidate covers itself alone: the hardest are annotated."""
    hard = {row["text_a"] for row in tiny.rows("train") if row["label"] == "positive"}

    def unsure(prompt: Prompt, labels: Sequence[str]) -> list[float]:
        return [-0.7, -0.7] if any(text in prompt.query for text in hard) else [-0.01, -5.0]

    options = {"annotations": 4, "start": 1, "neighbours": 1, "links": 0}
    model = ScriptedLanguageModel(unsure)
    result = run_method("adaicl", tiny.config(), model=model, options=options)
    for site, found in annotated(tiny, result.directory).items():
        assert len(found) == len(set(found)) == 4
        assert set(found[1:]) <= hard, site


def test_adaicl_without_log_probabilities_counts_votes(tiny: Any) -> None:
    said = iter(range(10**6))

    def fickle(prompt: Prompt, labels: Sequence[str]) -> str:
        return labels[next(said) % 2]

    options = {"annotations": 3, "start": 2, "neighbours": 2, "samples": 2}
    model = ScriptedLanguageModel(fickle)
    config = tiny.config(**{"lm.feedback": "text"})
    result = run_method("adaicl", config, model=model, options=options)
    scored = 2 * (8 - 2)  # two orders of each candidate that k-means left
    evaluation = 2 * (tiny.test * 4 + tiny.validation)
    assert result.data["ledger"]["calls"] <= 2 * scored + evaluation
    orders = {p.query: set() for p in model.asked}
    for prompt in model.asked:
        orders[prompt.query].add(prompt.shots)
    assert any(len(shots) == 2 for shots in orders.values())
    assert all(len(found) == 3 for found in annotated(tiny, result.directory).values())


def test_adaicl_ends_with_its_annotations_though_the_budget_does_not_cover_a_scoring(
    tiny: Any, scripted: ScriptedLanguageModel
) -> None:
    config = tiny.config(**{"budget.per_site": {"calls": tiny.least - 2}, "method.draws": 2})
    result = run_method("adaicl", config, model=scripted, options={"annotations": 6})
    assert result.data["iterations"] == 1 or result.data["iterations"] == 0
    assert all(len(found) == 6 for found in annotated(tiny, result.directory).values())


def test_adaicl_says_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="start <= annotations"):
        AdaICL(annotations=3, start=4)
