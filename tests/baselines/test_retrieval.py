"""KATE shows every query the known neighbours in the known order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asyndbt.baselines import run_method
from asyndbt.baselines._kate import KATE, retriever
from asyndbt.errors import ConfigError, DataError, MissingExtraError
from asyndbt.lm import Prompt
from asyndbt.prompt import Vectors, nearest_rows
from asyndbt.task import Example
from asyndbt.testing import ScriptedLanguageModel

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
    assert nearest_rows(same[:1], same, 9).tolist() == [[0, 1, 2]]
    retrieve = retriever(Vectors("tfidf", SHELF), SHELF, 2, "nearest-first")
    (shown,) = retrieve([Example({"text_a": "words unheard of"}, "0")])
    assert texts(shown) == ["red fox", "red fox jumps"]
    assert retrieve([]) == []


def test_kate_shows_every_query_its_own_neighbours(
    tiny: Any, scripted: ScriptedLanguageModel
) -> None:
    result = run_method("kate", tiny.config(), model=scripted, options={"neighbours": 3})
    shown = {p.query: p.shots for p in scripted.asked if len(p.shots) == 3}
    (validated,) = {
        site["metrics"]["validation"]["tuned"]["n"] for site in result.data["sites"].values()
    }
    assert len(shown) == 2 * (tiny.test + validated)
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
    with pytest.raises(DataError, match="too long; prompts show 5 demonstrations: lower"):
        run_method("kate", tiny.config(), model=model)
    assert model.asked == []


def test_an_encoder_that_is_not_installed_is_named(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[vectors\]"):
        run_method("kate", tiny.config(), options={"encoder": "some/model"})
    assert KATE().encoder == "tfidf"


def test_an_encoder_that_cannot_be_loaded_is_a_wrong_setting(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, **options: Any) -> None:
        raise OSError(f"no model {name}")

    library = SimpleNamespace(SentenceTransformer=refuse)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    with pytest.raises(ConfigError, match="'some/model' cannot be loaded: no model some/model"):
        run_method("kate", tiny.config(), options={"encoder": "some/model"})
