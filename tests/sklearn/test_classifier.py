"""The classifier does what scikit-learn's tools expect of one, on texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm import Answer, LanguageModel, Prompt, Usage
from asyndbt.pocket import TASKS, dataset
from asyndbt.testing import ScriptedLanguageModel

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn
from asyndbt.sklearn import AsynDBTClassifier

POCKET = TASKS["sentiment-consumer"]
TASK = {"instruction": POCKET.instruction, "labels": dict(POCKET.labels)}
LITTLE = {
    "vocabulary": "pocket",
    "vocabulary_limit": 12,
    "fragment_length": 2,
    "draws": 3,
    "batch_size": 2,
    "confirm_candidates": 2,
    "iterations": 2,
}
OF_WORDS = ("vocabulary", "vocabulary_limit", "fragment_length")
SITES = ("meals", "movies")


class Anything(LanguageModel):
    """Answers every prompt, somehow, and keeps no state."""

    def __repr__(self) -> str:
        return "Anything()"  # names of tests have it: they are the same in every process

    provider = "anything"
    name = "anything"

    def max_usage(self, prompt: Prompt) -> Usage:
        return Usage(calls=1)

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        numbers = (zlib.crc32(prompt.query.encode()) for prompt in prompts)
        return [
            Answer(tuple(-1.0 - (n >> 3 * u) % 7 for u in range(len(labels))), None, Usage(1))
            for n in numbers
        ]


NOT_FOR_TEXT = {
    "check_classifiers_train": "wants 83 % on numbers, which a language model reads as words",
    "check_fit2d_1feature": "a class of 3 samples is too few for demonstrations, queries and "
    "validation; the error says how many are needed",
}


@parametrize_with_checks(
    [
        AsynDBTClassifier(
            lm=Anything(),
            calls=30,
            method={
                "mode": "fragment",
                "iterations": 1,
                "draws": 2,
                "batch_size": 1,
                "confirm_candidates": 1,
                "fragment_length": 1,
                "vocabulary_limit": 2,
            },
        )
    ],
    expected_failed_checks=lambda _: NOT_FOR_TEXT,
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_what_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Sixteen rows of either label at two sites."""
    found = dataset(POCKET.name, "train")
    keys = [(site, label) for label in POCKET.labels for site in SITES]

    def of(key: tuple[str, str]) -> Iterator[dict[str, str]]:
        return islice((row for row in found if (row["site"], row["label"]) == key), 16)

    return pd.DataFrame([row for four in zip(*map(of, keys), strict=True) for row in four])


def classifier(**changes: Any) -> AsynDBTClassifier:
    return AsynDBTClassifier(**{"task": TASK, "calls": 60, "method": LITTLE, **changes})


@pytest.fixture(scope="module")
def fitted(rows: pd.DataFrame) -> AsynDBTClassifier:
    return classifier().fit(rows[["text_a"]], rows["label"], groups=rows["site"])


def test_arrays_lists_series_and_frames_are_the_same(rows: pd.DataFrame) -> None:
    labels = rows["label"]
    first = classifier().fit(rows["text_a"].tolist(), labels.tolist())
    expected = first.predict_proba(rows["text_a"].tolist())
    for X in (rows["text_a"], rows["text_a"].to_numpy(), rows[["text_a"]].to_numpy(), rows):
        again = classifier().fit(X, labels.to_numpy())
        assert again.prompts_ == first.prompts_
        assert np.array_equal(again.predict_proba(X), expected)
    assert first.score(rows, labels) == np.mean(first.predict(rows) == labels) > 0.6


@pytest.mark.parametrize("codes", [(3, 7), (False, True), (0.0, 1.0), ("no", "yes")])
def test_labels_of_any_kind_come_back_as_they_were(rows: pd.DataFrame, codes: Any) -> None:
    labels = np.where(rows["label"] == "positive", codes[1], codes[0])
    task = {**TASK, "labels": {codes[0]: "terrible", codes[1]: "great"}}
    found = classifier(task=task).fit(rows, labels).predict(rows)
    assert found.dtype == labels.dtype
    assert set(found.tolist()) == set(codes)


def test_groups_are_sites_with_prompts_of_their_own(
    fitted: AsynDBTClassifier, rows: pd.DataFrame
) -> None:
    assert set(fitted.prompts_) == set(SITES)
    for site, prompt in fitted.prompts_.items():
        own = set(rows["text_a"][rows["site"] == site])
        assert own.issuperset(shown.fields["text_a"] for shown in prompt.demonstrations)
    apart = fitted.predict_proba(rows, groups=rows["site"])
    every = [fitted.predict_proba(rows, groups=[site] * len(rows)) for site in SITES]
    assert np.array_equal(apart, np.where(rows[["site"]] == "meals", *every))
    assert np.allclose(fitted.predict_proba(rows), np.mean(every, axis=0))
    with pytest.raises(ValueError, match="groups has \\['moon'\\]"):
        fitted.predict(rows, groups=["moon"] * len(rows))


def test_cross_validation_with_groups_by_keyword_and_by_routing(rows: pd.DataFrame) -> None:
    X, y, groups = rows["text_a"], rows["label"], rows["site"]
    plain = cross_val_score(classifier(), X, y, cv=2, params={"groups": groups})
    with sklearn.config_context(enable_metadata_routing=True):
        routed = classifier().set_fit_request(groups=True).set_score_request()
        found = cross_val_score(routed, X, y, cv=2, params={"groups": groups})
        apart = cross_val_score(
            classifier().set_fit_request(groups=False),
            X,
            y,
            cv=GroupKFold(2),
            params={"groups": groups},
        )
    assert np.array_equal(plain, found)
    assert apart.shape == (2,)
    assert not np.isnan(apart).any()


def test_a_search_over_calls_and_options_in_a_pipeline(rows: pd.DataFrame) -> None:
    shout = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    whisper = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = make_pipeline(shout, whisper, classifier())
    bare = {name: value for name, value in LITTLE.items() if name not in OF_WORDS}
    grid = {
        "asyndbtclassifier__calls": [40, 60],
        "asyndbtclassifier__method": [LITTLE, {**bare, "mode": "demonstrations"}],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(rows["text_a"], rows["label"])
    assert search.cv_results_["mean_test_score"].shape == (4,)
    best = search.best_estimator_[-1]
    assert set(search.predict(rows["text_a"])) == set(TASK["labels"])
    (prompt,) = best.prompts_.values()
    assert bool(prompt.fragment) == (best.method.get("mode") is None)


def test_a_clone_is_unfitted_and_fits_the_same(rows: pd.DataFrame) -> None:
    first = classifier(random_state=np.random.RandomState(3)).fit(rows, rows["label"])
    other = clone(classifier(random_state=np.random.RandomState(3)))
    with pytest.raises(NotFittedError):
        other.predict(rows)
    assert other.fit(rows, rows["label"]).prompts_ == first.prompts_


def test_saved_and_loaded_it_predicts_the_same(
    fitted: AsynDBTClassifier, rows: pd.DataFrame, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "classifier.json")
    loaded = AsynDBTClassifier.load(tmp_path / "classifier.json")
    assert loaded.get_params() == fitted.get_params()
    assert np.array_equal(loaded.predict(rows), fitted.predict(rows))
    assert loaded.classes_.dtype == fitted.classes_.dtype
    json.loads((tmp_path / "classifier.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{}", "'format'"),
        ('{"format": "other"}', "its format"),
        ("x", "no classifier that save wrote"),
    ],
)
def test_a_file_that_is_no_classifier_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "classifier.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=message):
        AsynDBTClassifier.load(file)


def test_a_model_of_ones_own_is_given_again_when_loading(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    first = classifier(lm=Anything()).fit(rows, rows["label"])
    first.save(tmp_path / "own.json")
    with pytest.raises(ConfigError, match="was tuned for anything"):
        AsynDBTClassifier.load(tmp_path / "own.json").predict(rows)
    loaded = AsynDBTClassifier.load(tmp_path / "own.json", lm=Anything())
    assert np.array_equal(loaded.predict(rows), first.predict(rows))


def test_a_request_that_fails_is_an_error_and_no_label(rows: pd.DataFrame) -> None:
    model = ScriptedLanguageModel({"fails": None, "": (-0.1, -2.3)})
    own = classifier(lm=model).fit(rows, rows["label"])
    with pytest.raises(ModelError, match="1 of 2 requests failed"):
        own.predict(["it works", "it fails"])


def test_columns_of_a_table_are_fields_of_the_question() -> None:
    table = pd.DataFrame({"age": range(24), "town": 12 * ["Köln", "Bonn"]})
    labels = 12 * [0, 1]
    own = AsynDBTClassifier(lm=Anything(), calls=60, method=LITTLE).fit(table, labels)
    assert own.feature_names_in_.tolist() == ["age", "town"]
    (prompt,) = own.prompts_.values()
    assert 'age "3", town "Bonn"' in prompt.render(age="3", town="Bonn").text
    swapped = table[["town", "age"]].assign(more=1.0)
    assert np.array_equal(own.predict(swapped), own.predict(table))
    with pytest.raises(ValueError, match="X has no column 'town', only 'age'"):
        own.predict(table[["age"]])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["a", None], ["positive", "negative"], "one text a sample"),
        (["a", "b"], [1, 1], "one class"),
        (["a", "b"], ["positive", "other"], "y has the label 'other'"),
    ],
)
def test_what_cannot_be_fitted_is_told(X: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, y)


def test_built_in_tasks_have_their_labels() -> None:
    X = pd.DataFrame({"text_a": [f"sentence {n}" for n in range(24)]})
    own = AsynDBTClassifier(Anything(), {"template": "cola"}, 60, LITTLE).fit(X, 12 * [0, 1])
    assert own.prompts_["local"].task.label_words == ("No", "Yes")


def test_the_package_does_without_scikit_learn() -> None:
    code = "import sys, asyndbt, asyndbt.cli; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
