"""KATE finds the known neighbours in the known order; AdaICL covers the hard set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from asyndbt.baselines import run_method
from asyndbt.baselines.adaicl import AdaICL, cover, reach
from asyndbt.baselines.kate import KATE, retriever
from asyndbt.baselines.vectors import Vectors, nearest
from asyndbt.errors import DataError, MissingExtraError
from asyndbt.lm import Prompt, ScriptedLanguageModel
from asyndbt.task import Example

SHELF = [
    Example({"text_a": text}, "1")
    for text in ("red fox", "red fox jumps", "blue whale", "green red", "grey stone")
]


def texts(examples: Sequence[Example]) -> list[str]:
    return [example.fields["text_a"] for example in examples]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("nearest-first", ["red fox jumps", "red fox", "green red"]),
        ("nearest-last", ["green red", "red fox", "red fox jumps"]),
    ],
)
def test_the_neighbours_come_in_the_known_order(order: Any, expected: list[str]) -> None:
    retrieve = retriever(Vectors("tfidf", SHELF), SHELF, 3, order)
    query = Example({"text_a": "a red fox jumps"}, "0")
    (shown,) = retrieve([query])
    assert texts(shown) == expected


def test_ties_go_to_the_first_on_the_shelf_and_no_more_than_there_are() -> None:
    same = np.tile([1.0, 0.0], (3, 1))
    assert nearest(same[:1], same, 9).tolist() == [[0, 1, 2]]
    retrieve = retriever(Vectors("tfidf", SHELF), SHELF, 2, "nearest-first")
    (shown,) = retrieve([Example({"text_a": "words unheard of"}, "0")])
    assert texts(shown) == ["red fox", "red fox jumps"]
    assert retrieve([]) == []


def test_kate_shows_every_query_its_own_neighbours(
    tiny: Any, scripted: ScriptedLanguageModel
) -> None:
    result = run_method("kate", tiny.config(), model=scripted, options={"neighbours": 3})
    shown = {p.query: p.shots for p in scripted.asked if len(p.shots) == 3}
    assert len(shown) == 2 * (tiny.test + tiny.validation)
    assert len(set(shown.values())) > 2
    shelf = tiny.folder / "run" / "sites" / "meals" / "result.json"
    assert "retrieved_from" in shelf.read_text()
    assert result.sites == [], "there is no one prompt to load"


def test_too_many_neighbours_for_the_model_are_said_before_a_request(tiny: Any) -> None:
    class Narrow(ScriptedLanguageModel):
        def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
            if any(len(prompt.shots) > 4 for prompt in prompts):
                raise DataError("too long")

    model = Narrow(tiny.hashed)
    with pytest.raises(DataError, match="too long; 5 demonstrations are shown: lower neighbours"):
        run_method("kate", tiny.config(), model=model)
    assert model.asked == []


def test_an_encoder_that_is_not_installed_is_named(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[vectors\]"):
        run_method("kate", tiny.config(), options={"encoder": "some/model"})
    assert KATE().encoder == "tfidf"


# ------------------------------------------------------------------ AdaICL
def test_the_greedy_cover_takes_what_covers_most() -> None:
    near = np.eye(6, dtype=bool)
    near[1, [2, 3, 4]] = near[[2, 3, 4], 1] = True
    hard = np.array([0, 0, 1, 1, 1, 1], dtype=bool)
    assert cover(near, hard, [], 6) == [1, 5]
    assert cover(near, hard, [1], 6) == [2, 3, 4, 5]
    assert cover(near, hard, [], 1) == [1]


@pytest.mark.parametrize("seed", range(5))
def test_a_cover_with_annotations_enough_leaves_no_hard_one_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(30, 4))
    near = reach(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 3)
    assert (near == near.T).all()
    hard = rng.random(30) < 0.5
    taken = [0, 1]
    chosen = cover(near, hard, taken, 30)
    assert near[chosen].any(axis=0)[hard].all()
    assert not set(chosen) & set(taken)
    assert len(set(chosen)) == len(chosen)


def annotated(tiny: Any, directory: Any) -> dict[str, list[str]]:
    import json

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
    from asyndbt.errors import ConfigError

    with pytest.raises(ConfigError, match="start <= annotations"):
        AdaICL(annotations=3, start=4)
