"""New examples under a tuned prompt: what is refused before it is paid for, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm import Answer, Prompt, Usage
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.run import Result, run_config
from asyndbt.testing import ScriptedLanguageModel


@pytest.fixture
def finished(one_run: Any) -> Result:
    return one_run[0]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text_a": None}, "row 2, column 'text_a': the text is empty; fill it in"),
        ({"text_a": " "}, "row 2, column 'text_a': the text is empty; fill it in"),
        ("fine", "row 2: found str; give a mapping by column"),
        ({"text_a": 3}, "row 2, column 'text_a': found int 3, not text"),
        ({"text_a": "x", "scores": "1"}, "row 2: there is a column 'scores' already"),
        ({"text_a": "x", "prediction": ""}, "row 2: there is a column 'prediction' already"),
        ({"text_a": "fine " * 3000}, "the longest prompt has"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_paid(
    finished: Result, monkeypatch: pytest.MonkeyPatch, row: Any, text: str
) -> None:
    monkeypatch.setattr(PocketLanguageModel, "score", None)
    with pytest.raises(DataError, match=text):
        finished.predict([{"text_a": "fine"}, row], "meals")


@pytest.mark.parametrize("rows", ["fine", {"text_a": "fine"}])
def test_one_row_is_no_list_of_rows(finished: Result, rows: Any) -> None:
    with pytest.raises(DataError, match="give a list of rows"):
        finished.predict(rows, "meals")


def test_rows_that_can_be_read_once_are_predicted_all(finished: Result) -> None:
    rows = [{"text_a": text} for text in ("the soup was superb", "the soup was horrible")]
    assert finished.predict(iter(rows), "meals") == finished.predict(rows, "meals")
    assert finished.predict(iter([]), "meals") == []


def test_messages_name_the_rows_as_they_are_told(finished: Result) -> None:
    with pytest.raises(DataError, match=r"^new\.csv line 7, column 'text_a': the text is empty"):
        finished.predict([{"text_a": ""}], "meals", origins=iter(["new.csv line 7"]))


def test_several_may_predict_the_same_rows_at_once(
    finished: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers before all have asked."""
    ready, score = Barrier(3), PocketLanguageModel.score

    async def slow(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        ready.wait(60)
        return await score(model, prompts, labels)

    rows = [{"text_a": "what nobody has asked before"}]
    with monkeypatch.context() as patch, ThreadPoolExecutor(3) as threads:
        patch.setattr(PocketLanguageModel, "score", slow)
        found = list(threads.map(lambda _: finished.predict(rows, "movies"), range(3)))
    monkeypatch.setattr(PocketLanguageModel, "score", None)
    assert found == 3 * [finished.predict(rows, "movies")]


def test_why_no_row_was_answered_is_told_again_from_the_cache(
    finished: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        return [Answer(None, None, Usage(calls=1), "not nice") for _ in prompts]

    monkeypatch.setattr(PocketLanguageModel, "score", refuse)
    for _ in range(2):
        with pytest.raises(ModelError, match="no row was answered: not nice"):
            finished.predict([{"text_a": "something refused"}], "movies")
        monkeypatch.setattr(PocketLanguageModel, "score", None)


def test_an_answer_that_names_no_label_is_no_prediction(
    finished: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mute(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        silent = (-float("inf"),) * len(labels)
        return [Answer(silent, None, Usage(calls=1)), None][: len(prompts)]

    monkeypatch.setattr(PocketLanguageModel, "score", mute)
    rows = [{"text_a": "neither this nor that"}, {"text_a": "a failed one"}]
    unparsed, failed = finished.predict(rows, "phones")
    assert (unparsed["prediction"], failed["prediction"]) == (None, None)
    assert failed["scores"] is None
    assert set(unparsed["scores"].values()) == {0.5}


def test_answers_are_kept_in_the_sites_own_part(finished: Result) -> None:
    finished.predict([{"text_a": "the soup was superb"}], "movies")
    assert (finished.directory / "sites" / "movies" / "predictions.sqlite").exists()
    assert not list(finished.directory.glob("*.sqlite"))


def test_runs_and_predictions_work_inside_a_running_event_loop(small: Any) -> None:
    async def notebook() -> list[dict[str, Any]]:
        result = run_config(small.config("inside", method={"iterations": 2}))
        return result.predict([{"text_a": "the soup was superb"}], "meals")

    (inside,) = asyncio.run(notebook())
    outside = run_config(small.config("outside", method={"iterations": 2}))
    assert [inside] == outside.predict([{"text_a": "the soup was superb"}], "meals")
    assert small.outcome(small.folder / "inside") == small.outcome(small.folder / "outside")


def test_columns_of_other_names(small: Any) -> None:
    files = {
        part: small.write(
            f"renamed-{part}.jsonl",
            [{"sentence" if k == "text_a" else k: v for k, v in r.items()} for r in rows],
        )
        for part in small.files
        for rows in (small.rows(part),)
    }
    columns = {"columns": {"text_a": "sentence"}}
    renamed = run_config(small.config("renamed", data={**files, **columns}))
    plain = run_config(small.config("plain"))
    assert small.outcome(renamed.directory) == small.outcome(plain.directory)
    (told,) = renamed.predict([{"sentence": "the soup was superb"}], "meals")
    assert (
        told["prediction"]
        == plain.predict([{"text_a": "the soup was superb"}], "meals")[0]["prediction"]
    )


def test_no_other_model_answers_than_the_one_that_was_tuned_for(small: Any) -> None:
    model = ScriptedLanguageModel({"": (-0.1, -2.3)})
    tuned = run_config(small.config(), model=model)
    asked, rows = len(model.asked), [{"text_a": "neither this nor that"}]
    assert tuned.predict(rows, "meals")[0]["prediction"] is not None
    assert len(model.asked) == asked + 1
    with pytest.raises(ConfigError, match=r"was tuned for script.*give that model to Result"):
        Result(tuned.directory).predict(rows, "meals")
    assert Result(tuned.directory, model).predict(rows, "meals")[0]["prediction"] is not None


def test_batches_are_answered_one_by_one_and_none_in_vain(
    finished: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        return [Answer(None, None, Usage(calls=1), "not nice") for _ in prompts]

    score = PocketLanguageModel.score
    texts = ["a first one that is refused", "one that is answered"]
    batches = finished.predict_batches([[(t, {"text_a": t})] for t in texts], "meals")
    monkeypatch.setattr(PocketLanguageModel, "score", refuse)
    assert next(batches)[0]["scores"] is None
    monkeypatch.setattr(PocketLanguageModel, "score", score)
    assert next(batches)[0]["prediction"] is not None
    assert list(batches) == []
    refused = finished.predict_batches([[("line 1", {"text_a": texts[0]})], []], "meals")
    assert [len(next(refused)), len(next(refused))] == [1, 0]
    with pytest.raises(ModelError, match="no row was answered: not nice"):
        next(refused)
