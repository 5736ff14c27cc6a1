import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyndbt.errors import AsyndbtError, ConfigError, DataError
from asyndbt.lm import LabelPrior
from asyndbt.prompt import Nearest, TunedPrompt, fold
from asyndbt.task import Example, Task

TASK = Task('Does "{text_a}" imply {{it}} "{text_b}"?', ("0", "1"), ("{no}", "yes"))
Texts = st.text(st.characters(codec="utf-8")) | st.text(alphabet="{}\"'\\\n\r\u2028 ab_text")
Words = st.lists(Texts, max_size=4).map(tuple)
Examples = st.builds(
    lambda a, b, label, site: Example({"text_a": a, "text_b": b}, label, site),
    Texts,
    Texts,
    st.sampled_from(TASK.labels),
    st.none() | st.just("north"),
)
Priors = st.builds(
    lambda share, queries: LabelPrior((math.log(share), math.log1p(-share)), queries),
    st.floats(1e-9, 1 - 1e-9),
    st.integers(0, 100),
)
Prompts = st.builds(
    TunedPrompt,
    st.just(TASK),
    Words,
    st.lists(Examples, max_size=3).map(tuple),
    st.none() | Priors,
)
PROMPT = TunedPrompt(TASK, ("think",), (Example({"text_a": "x", "text_b": "y"}, "1", "north"),))
RULE = Nearest(
    "tfidf",
    tuple(Example({"text_a": f"red {word}", "text_b": "fox"}, "1", "north") for word in "abcd"),
)
FOUND = TunedPrompt(TASK, ("{think}",), (*PROMPT.demonstrations, RULE, RULE))
"""A prompt with two demonstrations that are found for every query."""


@given(Prompts, Texts, Texts)
def test_the_exported_text_is_what_was_scored(prompt: TunedPrompt, a: str, b: str) -> None:
    scored = prompt.render(text_a=a, text_b=b)
    fields = {"text_a": fold(a), "text_b": fold(b)}
    assert prompt.text_template().format(**fields) == scored.text
    for turn, sent in zip(prompt.template().messages, scored.messages, strict=True):
        assert turn["content"].format(**fields) == sent["content"]


@given(Prompts)
def test_json_gives_the_same_prompt_back(prompt: TunedPrompt) -> None:
    again = TunedPrompt.from_dict(json.loads(json.dumps(prompt.to_dict())))
    assert again == prompt
    assert [shown.site for shown in again.demonstrations] == [
        shown.site for shown in prompt.demonstrations
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(Prompts | st.just(FOUND), Texts)
def test_a_saved_prompt_says_the_same(tmp_path: Path, prompt: TunedPrompt, text: str) -> None:
    path = tmp_path / "prompt.json"
    prompt.save(path)
    fields = {"text_a": text, "text_b": text}
    assert TunedPrompt.load(path).render(**fields) == prompt.render(**fields)
    assert [file.name for file in tmp_path.iterdir()] == ["prompt.json"]


def test_a_file_says_which_version_can_read_it() -> None:
    """Older versions read prompts without rules, and refuse the others."""
    assert PROMPT.to_dict()["format"] == "asyndbt-prompt/1"
    assert "shelves" not in PROMPT.to_dict()
    assert FOUND.to_dict()["format"] == "asyndbt-prompt/3"
    assert len(FOUND.to_dict()["shelves"]) == 1, "slots that choose from the same share them"


def test_what_is_found_for_every_query_has_no_one_text() -> None:
    assert PROMPT.is_fixed
    assert not FOUND.is_fixed
    for make in (FOUND.template, FOUND.text_template):
        with pytest.raises(ConfigError, match=r"no text that is the same for all"):
            make()


@given(Prompts)
def test_the_outline_of_a_fixed_prompt_is_its_text(prompt: TunedPrompt) -> None:
    assert prompt.outline() == prompt.text_template()


def test_the_outline_names_what_is_found_for_every_query() -> None:
    *shots, query = FOUND.outline().format(text_a="p", text_b="q").splitlines()
    assert shots == [
        'Question: Does "x" imply {it} "y"? Note: {think}. Answer: yes',
        *["[nearest to the query (tfidf), of 4 examples] yes"] * 2,
    ]
    assert query == FOUND.render(text_a="p", text_b="q").query


def test_a_file_does_not_tell_where_a_demonstration_was_read(tmp_path: Path) -> None:
    shown = Example({"text_a": "x", "text_b": "y"}, "1", "north", "secret-folder.jsonl line 3")
    TunedPrompt(TASK, (), (shown,)).save(tmp_path / "prompt.json")
    assert "secret-folder" not in (tmp_path / "prompt.json").read_text()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"text_a": "x"},
            "query: no text for field 'text_b' of the instruction, only for 'text_a'",
        ),
        ({"text_a": "x", "text_B": "y"}, r"no text for field 'text_b'.*did you mean 'text_B'\?"),
        ({}, "query: no text for field 'text_a' of the instruction, only for none"),
        ({"text_a": "x", "text_b": 5}, "query: field 'text_b' is 5; give it a text"),
    ],
)
def test_a_query_without_its_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PROMPT.render(**fields)


def test_a_field_may_be_called_self() -> None:
    prompt = TunedPrompt(Task("Is {self} fine?", ("0", "1"), ("no", "yes")))
    assert prompt.render(**{"self": "it"}).text == "Question: Is it fine? Answer:"


def test_demonstrations_must_fit_the_task() -> None:
    with pytest.raises(DataError, match="unknown label '7'"):
        TunedPrompt(TASK, (), (Example({"text_a": "x", "text_b": "y"}, "7"),))
    with pytest.raises(DataError, match="demonstration 1: no text for field 'text_b'"):
        TunedPrompt(TASK, (), (Example({"text_a": "x"}, "1"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "asyndbt-prompt/9"}, "its format is 'asyndbt-prompt/9', this version reads"),
        ({"format": None}, "its format is None"),
        ({"fragment": "think"}, "found 'think' in place of a list"),
        ({"fragment": [1]}, "found 1 in place of a text"),
        ({"task": {}}, "'instruction' is missing"),
        ({"task": None}, "a value has the wrong type"),
        ({"demonstrations": [{"label": "1"}]}, "'fields' is missing"),
        ({"prior": {"log_probabilities": [-0.7, -0.7]}}, "'queries' is missing"),
        ({"prior": {"log_probabilities": [-0.7], "queries": 3}}, "prior: 1 probabilities for 2 la"),
        ({"demonstrations": [{"fields": 5, "label": "1", "site": None}]}, "wrong type"),
        (
            {"demonstrations": [{"fields": {"text_a": 1}, "label": "1", "site": None}]},
            "demonstration 1: field 'text_a' is 1; give it a text",
        ),
    ],
)
def test_a_file_that_is_not_such_a_prompt(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(PROMPT.to_dict() | change))
    with pytest.raises(DataError, match=f"prompt.json: .*{message}"):
        TunedPrompt.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shelves": []}, "a value has the wrong type"),
        ({"shelves": [[]]}, "0 examples to choose from for"),
        ({"shelves": [FOUND.to_dict()["shelves"][0][:1]]}, "1 example to choose from for 2 demo"),
        ({"shelves": [[{"label": "1", "site": None}]]}, "'fields' is missing"),
        ({"shelves": [[{"fields": {}, "label": "1", "site": None}]]}, "demonstration 2: no text"),
        ({"demonstrations": [{"nearest": 5, "shelf": 0}]}, "found 5 in place of a text"),
        ({"demonstrations": [{"nearest": "tfidf"}]}, "'shelf' is missing"),
    ],
)
def test_a_file_whose_rules_cannot_be_kept(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TunedPrompt.from_dict(FOUND.to_dict() | change)


@pytest.mark.parametrize("content", ["", "[]", "5", "{}", "\x00", '{"format": "asyndbt-prompt/1"}'])
def test_other_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prompt.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"prompt\.json: "):
        TunedPrompt.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AsyndbtError, match=r"none\.json: cannot be read: No such file.*check"):
        TunedPrompt.load(tmp_path / "none.json")
