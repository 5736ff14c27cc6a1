"""Every format, loaded with the tool it is for, gives the bytes that the run scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from keyword import iskeyword, kwlist
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.export.conftest import tuned

from asyndbt import TunedPrompt
from asyndbt.cli import main
from asyndbt.errors import ConfigError
from asyndbt.export import FORMATS, export_prompt
from asyndbt.lm import AnswerCache, LabelPrior, Prompt, ReplayedModel
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.pocket import PocketModel
from asyndbt.run import Result
from asyndbt.task import Example, Task
from asyndbt.testing import ScriptedLanguageModel

Row = Mapping[str, str]
Render = Callable[[str, Row], Any]
"""From a file's content and a row to the text or the messages that its tool sends."""


def executed(content: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(content, "exported.py", "exec"), names)
    return names


def by_str_format(content: str, row: Row) -> Any:
    return content.format(**row)


def by_openai(content: str, row: Row) -> Any:
    return [{**turn, "content": turn["content"].format(**row)} for turn in json.loads(content)]


def by_jinja(content: str, row: Row) -> Any:
    return pytest.importorskip("jinja2").Template(content).render(row)


def by_langchain(content: str, row: Row) -> Any:
    pytest.importorskip("langchain_core")
    prompt = executed(content)["prompt"].invoke(dict(row))
    if type(prompt).__name__ == "StringPromptValue":
        return prompt.text
    from langchain_core.messages import convert_to_openai_messages

    return convert_to_openai_messages(prompt.to_messages())


def by_dspy(content: str, row: Row) -> Any:
    dspy = pytest.importorskip("dspy")

    from dspy.utils import DummyLM

    great = SimpleNamespace(format_field_with_value=lambda fields: " Great.")
    lm = DummyLM([{"label": ""}], adapter=great)
    with dspy.context(lm=lm):
        assert executed(content)["program"](**row).label == "positive"
    return lm.history[-1]["messages"]


def by_promptfoo(content: str, row: Row) -> Any:
    """As promptfoo does with Nunjucks: within the texts of a JSON prompt, or a whole text."""
    jinja2 = pytest.importorskip("jinja2")
    (prompt,) = json.loads(content)["prompts"]
    try:
        turns = json.loads(prompt["raw"])
    except ValueError:
        return jinja2.Template(prompt["raw"]).render(row)
    return [{**turn, "content": jinja2.Template(turn["content"]).render(row)} for turn in turns]


def by_asyndbt(content: str, row: Row) -> Any:
    return TunedPrompt.from_dict(json.loads(content)).render(**row).text


READERS: dict[str, Render] = {
    "text": by_str_format,
    "openai": by_openai,
    "jinja": by_jinja,
    "langchain": by_langchain,
    "dspy": by_dspy,
    "promptfoo": by_promptfoo,
    "json": by_asyndbt,
}


def test_every_format_is_tried() -> None:
    assert set(READERS) == set(FORMATS)


def fields(row: Row) -> dict[str, str]:
    return {"text_a": row["text_a"]}


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_has_the_bytes_that_were_scored(by_text: Any, name: str) -> None:
    exported = export_prompt(by_text.result, name)
    assert exported.notes == ()
    for row in by_text.test:
        found = READERS[name](exported.content, fields(row))
        if isinstance(found, list):
            (turn,) = found
            assert turn["role"] == "user"
            found = turn["content"]
        assert found in by_text.sent


@pytest.mark.parametrize("name", [name for name, each in FORMATS.items() if each.has_roles])
def test_messages_have_the_bytes_that_were_scored(by_chat: Any, name: str) -> None:
    exported = export_prompt(by_chat.result, name)
    assert exported.notes == ()
    for row in by_chat.test:
        found = READERS[name](exported.content, fields(row))
        if name == "json":
            assert found == by_chat.result.prompt().render(**fields(row)).text
        else:
            assert found in by_chat.sent
            assert found[0] == {
                "role": "system",
                "content": "Answer with great, terrible, {as} I say.",
            }


@pytest.mark.parametrize("name", ["text", "jinja"])
def test_a_text_that_was_not_scored_is_told(by_chat: Any, name: str) -> None:
    exported = export_prompt(by_chat.result, name)
    (note,) = exported.notes
    assert "this text was not scored" in note
    row = fields(by_chat.test[0])
    assert READERS[name](exported.content, row) == by_chat.result.prompt().render(**row).text


def test_equal_bytes_are_an_equal_accuracy(by_text: Any) -> None:
    content = export_prompt(by_text.result, "jinja").content
    prompts = [by_jinja(content, fields(row)) for row in by_text.test]
    task = by_text.result.prompt().task
    scores = PocketModel.load().label_log_probabilities(prompts, task.label_words)
    predicted = [task.labels[column] for column in scores.argmax(axis=1)]
    right = [label == row["label"] for label, row in zip(predicted, by_text.test, strict=True)]
    reported = by_text.result.data["metrics"]["test"]["tuned"]
    assert len(right) == reported["n"]
    assert sum(right) / len(right) == pytest.approx(reported["accuracy"], abs=1e-6)


NASTY = '{ {{ text_a }} {% raw %} {# no #} }} "quoted" \\n \\ $x %s & <b> é 北京 \'\'\' """'


class Nasty:
    """A result whose prompt has every sign that a template language reads."""

    def __init__(self, chat: bool, prior: LabelPrior | None = None) -> None:
        task = Task('Is "{text_a}" {{like}} {text_b}?', ("0", "1"), ("no {", "yes"), NASTY)
        shown = Example({"text_a": NASTY, "text_b": "{text_a}"}, "0")
        self.tuned = TunedPrompt(task, ("{think}", "{{twice}}", "%}"), (shown,), prior)
        self.chat = chat

    def prompt(self, site: str | None = None) -> TunedPrompt:
        return self.tuned

    def messages(self, prompt: Prompt, labels: Any) -> Any:
        return [{"role": "system", "content": NASTY}, *prompt.messages] if self.chat else None


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "dspy"])
def test_signs_of_template_languages_stay_as_they_are(name: str, chat: bool) -> None:
    result: Any = Nasty(chat)
    row = {"text_a": NASTY, "text_b": "{{ text_a }} }"}
    rendered = result.tuned.render(**row)
    found = READERS[name](export_prompt(result, name).content, row)
    if isinstance(found, str):
        assert found == rendered.text
    elif chat:
        assert found == result.messages(rendered, ())
    else:
        assert found == [{"role": "user", "content": rendered.text}]


WORDS = [
    *kwlist,
    *("self", "label", "signature", "demos", "config", "lm", "stop", "prediction", "completions"),
    *("true", "none", "loop", "fields", "instructions", "copy", "json", "model_config", "model_x"),
    *("_", "_trace", "__class__", "ﬁeld", "größe", "北京", "field_self", "field_in", "str", "dspy"),
]
"""Names of fields that are words to some tool."""
NAMES = st.lists(
    st.sampled_from(WORDS) | st.text(max_size=8).filter(str.isidentifier),
    min_size=1,
    max_size=4,
    unique=True,
)
TOOLS = {"jinja": "jinja2", "promptfoo": "jinja2", "dspy": "dspy", "langchain": "langchain_core"}


def loadable(name: str) -> Any:
    tool = TOOLS.get(name, "json")
    missing = pytest.mark.skipif(find_spec(tool) is None, reason=f"{tool} is not installed")
    return pytest.param(name, marks=missing)


@pytest.mark.parametrize("name", [loadable(name) for name in FORMATS])
@settings(max_examples=60, deadline=None)
@given(fields=NAMES)
@example(fields=["in", "self", "class", "label"])
@example(fields=["stop", "self", "field_self", "field_stop"])
def test_a_field_may_have_any_name(name: str, fields: list[str]) -> None:
    result: Any = Nasty(False)
    task = Task(" ".join(f"{{{field}}}" for field in fields), ("positive", "0"), ("great", "no"))
    result.tuned = TunedPrompt(task)
    exported = export_prompt(result, name)
    assert list(exported.names) == fields
    assert len(set(exported.names.values())) == len(fields)
    found = READERS[name](
        exported.content, {exported.names[field]: f"text {k}" for k, field in enumerate(fields)}
    )
    text = found if isinstance(found, str) else found[-1]["content"]
    rendered = result.tuned.render(**{field: f"text {k}" for k, field in enumerate(fields)}).text
    assert text == rendered


@pytest.mark.parametrize("name", ["dspy", "langchain"])
@given(fields=NAMES)
@settings(max_examples=60, deadline=None)
def test_a_python_module_can_be_compiled(name: str, fields: list[str]) -> None:
    result: Any = Nasty(False)
    task = Task(" ".join(f"{{{field}}}" for field in fields), ("0", "1"), ("no", "yes"))
    result.tuned = TunedPrompt(task)
    exported = export_prompt(result, name)
    compile(exported.content, "exported.py", "exec")
    assert not any(map(iskeyword, exported.names.values())) or name == "langchain"


def test_a_field_that_is_renamed_is_told() -> None:
    result: Any = Nasty(False)
    result.tuned = TunedPrompt(Task("{text} {self}", ("0", "1"), ("no", "yes")))
    exported = export_prompt(result, "jinja")
    assert exported.notes == (
        "field 'self' is called 'field_self' in the file: format 'jinja' cannot use its name",
    )
    assert export_prompt(result, "text").notes == ()


def test_jinja_puts_a_text_on_one_line_as_the_run_did() -> None:
    result: Any = Nasty(False)
    row = {"text_a": " a\r\n\n\t b \u2028c\x1dd  e ", "text_b": "b"}
    content = export_prompt(result, "jinja").content
    assert by_jinja(content, row) == result.tuned.render(**row).text


@pytest.mark.parametrize("name", FORMATS)
def test_a_calibration_that_is_left_out_is_told(name: str) -> None:
    result: Any = Nasty(False, LabelPrior((-0.1, -2.4), 16))
    exported = export_prompt(result, name)
    if name == "json":
        assert exported.notes == ()
        assert TunedPrompt.from_dict(json.loads(exported.content)) == result.tuned
    else:
        assert "calibrated" in exported.notes[0]


def test_an_export_asks_no_model_and_needs_no_key(
    by_chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = len(by_chat.sent)
    monkeypatch.setattr(PocketLanguageModel, "score", None)
    export_prompt(by_chat.result, "openai")
    assert len(by_chat.sent) == asked


class Told(ScriptedLanguageModel):
    """Is sent messages, with a system message that no configuration has."""

    @classmethod
    def messages(cls, options: Any, facts: Any, prompt: Prompt, labels: Any) -> Any:
        return [{"role": "system", "content": "as I say"}, *prompt.messages]


@pytest.mark.parametrize("name", ["openai", "text"])
def test_what_a_model_of_ones_own_is_sent_is_exported_with_that_model_alone(
    tmp_path: Path, name: str
) -> None:
    model = Told({"": (-0.1, -2.3)})
    result = tuned(tmp_path, {"provider": "pocket"}, model=model).result
    content = export_prompt(result, name).content
    assert content == export_prompt(Result(result.directory, model), name).content
    assert ("as I say" in content) == (name == "openai")
    with pytest.raises(ConfigError, match=r"was tuned for script.*give that model to Result"):
        export_prompt(Result(result.directory), name)
    with pytest.raises(ConfigError, match=r"was tuned for script.*and other would answer"):
        export_prompt(Result(result.directory, Told({}, name="other")), name)


def test_a_model_that_the_configuration_describes_is_known_from_it(tmp_path: Path) -> None:
    replayed = ReplayedModel(PocketLanguageModel(), AnswerCache(":memory:"))
    result = tuned(tmp_path, {"provider": "pocket"}, model=replayed).result
    assert export_prompt(result, "openai") == export_prompt(Result(result.directory), "openai")
    assert Result(result.directory).predict([{"text_a": "the soup was superb"}])[0]["prediction"]


def test_an_unknown_format_or_site_is_named(two_sites: Result) -> None:
    with pytest.raises(ConfigError, match="format 'jina' is unknown; did you mean 'jinja'"):
        export_prompt(two_sites, "jina")
    with pytest.raises(ConfigError, match="name a site; the run has: meals, movies"):
        export_prompt(two_sites, "text")


def test_the_command_writes_one_site_to_a_file_or_prints_it(
    two_sites: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", str(two_sites.directory), "--format", "text", "--site", "movies"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert printed == two_sites.prompt("movies").text_template()
    assert main([*argv, "--output", str(tmp_path / "prompt.txt")]) == 0
    assert (tmp_path / "prompt.txt").read_text("utf-8") == printed
    assert main(argv[:-2]) == 1
    assert "the run has: meals, movies" in capsys.readouterr().err
