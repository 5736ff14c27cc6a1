"""Formats that are Python modules: tools whose own files cannot hold a finished prompt."""

from __future__ import annotations

from pprint import pformat

from asyndbt.export._template import Template

_LANGCHAIN = '''\
"""A tuned prompt, written by asyndbt export --format langchain."""

from langchain_core.prompts import {kind}

prompt = {kind}.{maker}(
{content}
)
'''

_DSPY = '''\
"""A tuned prompt, written by asyndbt export --format dspy."""

import dspy

MESSAGES = {messages}
LABELS = {labels}


class TunedAdapter(dspy.Adapter):
    """Sends the tuned prompt as it was scored, and reads the label word."""

    def format(self, signature, demos, inputs):
        return [
            {{"role": role, "content": content.format(**inputs)}} for role, content in MESSAGES
        ]

    def parse(self, signature, completion):
        word = completion.strip().rstrip(".").lower()
        if word not in LABELS:
            raise ValueError(f"the answer names no label: {{completion!r}}")
        return {{"label": LABELS[word]}}


class Tuned(dspy.Module):
    """Labels {fields}."""

    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("{fields} -> label")

    def forward(self, **inputs):
        with dspy.context(adapter=TunedAdapter()):
            return self.predict(**inputs)


program = Tuned()
'''


def langchain_module(template: Template) -> str:
    """Return a module whose `prompt` is a template of LangChain."""
    if template.chat is None:
        kind, maker, content = "PromptTemplate", "from_template", template.text.format_string()
        return _LANGCHAIN.format(kind=kind, maker=maker, content=pformat(content))
    pairs = [(turn.role, turn.format_string()) for turn in template.chat]
    return _LANGCHAIN.format(
        kind="ChatPromptTemplate", maker="from_messages", content=pformat(pairs)
    )


def dspy_module(template: Template) -> str:
    """Return a module whose `program` is a module of DSPy, called with the fields of the task."""
    task = template.prompt.task
    words = [word.lower() for word in task.label_words]
    return _DSPY.format(
        messages=pformat([(turn.role, turn.format_string()) for turn in template.turns]),
        labels=pformat(dict(zip(words, task.labels, strict=True)), sort_dicts=False),
        fields=", ".join(template.names.values()),
    )
