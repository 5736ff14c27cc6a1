"""What is tuned with DSPy is what a program sends, before and after it is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

dspy = pytest.importorskip("dspy")

from tests.dspy.conftest import Endpoint  # noqa: E402

from asyndbt._chat_server import ChatError  # noqa: E402
from asyndbt.dspy import AsynDBT  # noqa: E402
from asyndbt.errors import ConfigError, DataError, ModelError  # noqa: E402

METHOD = {"fragment_length": 2, "draws": 4, "batch_size": 2, "validations": 1}


def optimizer(**settings: Any) -> AsynDBT:
    given = {"calls": 100, "method": METHOD, "data": {"validation_per_class": 3}}
    return AsynDBT(**{**given, **settings})


def accuracy(program: Any, examples: Any) -> float:
    right = [program(**each.inputs()).mood == each.mood for each in examples]
    return sum(right) / len(right)


def test_what_is_returned_was_scored_and_is_better(
    endpoint: Endpoint, student: Any, examples: Any
) -> None:
    assert accuracy(student, examples[:12]) == 0.5
    del endpoint.sent[:]
    found = optimizer().compile(student, trainset=examples)
    tuning = endpoint.sent.copy()
    assert 70 < len(tuning) <= 100
    assert accuracy(found, examples) == 1.0
    assert sum(each in tuning for each in endpoint.sent[len(tuning) :]) >= 6, "those of the choice"
    assert student.demos == []
    assert found is not student
    assert {demo.mood for demo in found.demos} == {"no", "yes"}
    assert found.signature.instructions.startswith("Say whether the mood is good.\n\nNote: ")
    assert endpoint.notes
    texts = {each.text for each in examples}
    assert {demo.text for demo in found.demos} < texts, "texts as they are, line breaks and all"


def test_a_program_is_saved_and_loaded_by_dspy(
    endpoint: Endpoint, student: Any, examples: Any, tmp_path: Path
) -> None:
    found = optimizer().compile(student, trainset=examples[:12], valset=examples[12:])
    found(text="good")
    found.save(str(tmp_path / "program.json"))
    loaded = student.deepcopy()
    loaded.load(str(tmp_path / "program.json"))
    loaded(text="good")
    assert endpoint.sent[-1] == endpoint.sent[-2]


def test_a_module_around_a_predictor_is_asked_as_a_whole(
    endpoint: Endpoint, student: Any, examples: Any
) -> None:
    class Shouting(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.judge = student

        def forward(self, text: str) -> Any:
            return self.judge(text=f"{text}!")

    found = optimizer().compile(Shouting(), trainset=examples)
    assert type(found) is Shouting
    assert all(sent[-1]["content"].count("!") == 1 for sent in endpoint.sent)
    assert found.judge.demos


def test_sites_share_words_and_keep_their_demonstrations(
    endpoint: Endpoint, student: Any, examples: Any
) -> None:
    tuner = optimizer(site_field="town", calls=200)
    found = tuner.compile(student, trainset=[*examples, *examples[12:]])
    assert list(tuner.programs) == ["north", "south"]
    assert found is tuner.programs["south"], "it has most examples"
    for town, program in tuner.programs.items():
        own = {each.text for each in examples if each.town == town}
        assert {demo.text for demo in program.demos} <= own
        assert "town" not in program.demos[0]


@pytest.mark.parametrize("reply", ["no form at all", "[[ ## mood ## ]]\nmaybe\n"])
def test_an_answer_that_cannot_be_read_is_wrong_and_asked_once(
    endpoint: Endpoint, student: Any, examples: Any, reply: str
) -> None:
    endpoint.reply = reply
    with pytest.raises(ModelError, match="answers in a row name none"):
        optimizer().compile(student, trainset=examples)
    assert len(endpoint.sent) < 60


@pytest.mark.parametrize("status", [401, 404])
def test_an_endpoint_that_refuses_ends_it(
    endpoint: Endpoint, student: Any, examples: Any, status: int
) -> None:
    endpoint.reply = ChatError(status, "not you")
    with pytest.raises(ModelError, match="not you"):
        optimizer().compile(student, trainset=examples)
    assert len(endpoint.sent) <= 8, "those that were under way"


def test_programs_of_another_form_are_refused(endpoint: Endpoint, examples: Any) -> None:
    class Two(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = dspy.Predict("text -> mood"), dspy.Predict("text -> mood")

    for program, message in (
        (Two(), "the program has 2 predictors"),
        (dspy.ChainOfThought("text -> mood"), "has the outputs 'reasoning', 'mood'"),
        (dspy.Predict("text -> mood"), "output 'mood' is not a choice"),
        (dspy.Predict("text -> mood: Literal['no']"), "output 'mood' is not a choice"),
    ):
        with pytest.raises(ConfigError, match=message):
            optimizer().compile(program, trainset=examples)
    assert endpoint.sent == []


def test_examples_that_cannot_be_used_are_named(
    endpoint: Endpoint, student: Any, examples: Any
) -> None:
    right = examples[0]
    for wrong, message in (
        (dspy.Example(text="x").with_inputs("text"), "trainset example 2: 'mood' is nothing"),
        (dspy.Example(text="x", mood="so").with_inputs("text"), "'so', not one of 'no', 'yes'"),
        (dspy.Example(text="x", mood="no"), r"example 2: which fields are inputs\? call with_"),
        (right, "give examples of two choices or more"),
    ):
        with pytest.raises(DataError, match=message):
            optimizer().compile(student, trainset=[right, wrong])
    nowhere = dspy.Example(text="x", mood="no").with_inputs("text")
    with pytest.raises(DataError, match="no field 'town', which names its site"):
        optimizer(site_field="town").compile(student, trainset=[nowhere])


def test_demonstrations_of_a_program_are_the_same_for_all(
    endpoint: Endpoint, student: Any, examples: Any
) -> None:
    with pytest.raises(ConfigError, match=r"method\.neighbours .* a program of DSPy has the same"):
        optimizer(method={**METHOD, "neighbours": ["tfidf"]}).compile(student, trainset=examples)
    assert endpoint.sent == []


def test_choices_may_be_numbers_and_texts_alike(endpoint: Endpoint, examples: Any) -> None:
    class Rate(dspy.Signature):
        """Say whether the mood is good."""

        text: str = dspy.InputField()
        mood: Literal[0, 1, "none"] = dspy.OutputField()

    endpoint.reply = "[[ ## mood ## ]]\n1\n"
    numbered = [
        dspy.Example(text=each.text, mood=int(each.mood == "yes")).with_inputs("text")
        for each in examples
    ]
    found = optimizer().compile(dspy.Predict(Rate), trainset=numbered)
    assert {demo.mood for demo in found.demos} == {0, 1}


def test_without_a_language_model_it_says_so(student: Any, examples: Any) -> None:
    with pytest.raises(ConfigError, match=r"no language model: dspy.configure"):
        optimizer().compile(student, trainset=examples)
