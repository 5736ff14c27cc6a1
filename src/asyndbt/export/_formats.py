"""The formats by name: how each tool writes literal texts and the fields of a query."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyndbt.export._names import any_name, dspy_name, jinja_name, langchain_name
from asyndbt.export._python import dspy_module, langchain_module
from asyndbt.export._template import Template


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files.

    Parameters
    ----------
    summary : str
        What loads it.
    write : callable
        From a template to the content of the file.
    has_roles : bool
        Whether it can hold chat messages.
    whole : bool
        Whether it has all of the tuned prompt, the prior of the labels included.
    usable : callable
        Whether a field can have a name in it.
    needs_labels : bool
        Whether it reads the answer as a label.
    """

    summary: str
    write: Callable[[Template], str]
    has_roles: bool = True
    whole: bool = False
    usable: Callable[[str], bool] = any_name
    needs_labels: bool = False


def _text(template: Template) -> str:
    return template.text.format_string()


def _jinja(template: Template) -> str:
    # As asyndbt.prompt.fold puts a text on one line.
    folded = "{{{{ {}.splitlines() | map('trim') | select | join(' ') }}}}"
    return template.text.write(_jinja_literal, folded.format)


def _openai(template: Template) -> str:
    return _json([{"role": t.role, "content": t.format_string()} for t in template.turns])


def _promptfoo(template: Template) -> str:
    """Return a configuration with the prompt alone; JSON is YAML."""
    contents = [
        {"role": turn.role, "content": turn.write(_jinja_literal, "{{{{ {} }}}}".format)}
        for turn in template.turns
    ]
    raw = contents[0]["content"] if template.chat is None else json.dumps(contents)
    return _json({"prompts": [{"label": "asyndbt", "raw": raw}]})


def _own(template: Template) -> str:
    return _json(template.prompt.to_dict())


def _jinja_literal(text: str) -> str:
    """Return a text for Jinja and Nunjucks, which also reads a closing mark alone."""
    return text.translate({ord(brace): f"{{{{ '{brace}' }}}}" for brace in "{}"})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


FORMATS: Final[Mapping[str, Format]] = {
    "text": Format("one text for str.format", _text, has_roles=False),
    "openai": Format("messages of a chat, each for str.format", _openai),
    "jinja": Format("one text for Jinja", _jinja, has_roles=False, usable=jinja_name),
    "langchain": Format(
        "a Python module with a prompt template", langchain_module, usable=langchain_name
    ),
    "dspy": Format(
        "a Python module with a dspy.Predict", dspy_module, usable=dspy_name, needs_labels=True
    ),
    "promptfoo": Format(
        "a configuration to add providers and tests to", _promptfoo, usable=jinja_name
    ),
    "json": Format("asyndbt's own: TunedPrompt.from_dict", _own, whole=True),
}
"""Formats by name."""
