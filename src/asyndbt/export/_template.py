"""A prompt cut into literal texts and the fields of the query, as a model is sent it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from asyndbt.export._names import names_of
from asyndbt.prompt import TunedPrompt, escaped
from asyndbt.run import Result


@dataclass(frozen=True, slots=True)
class Field:
    """The place of one text of the query."""

    name: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, or the whole text where there are no messages."""

    role: str
    parts: tuple[str | Field, ...]

    def write(self, literal: Callable[[str], str], field: Callable[[str], str]) -> str:
        """Return the content with literal texts and names of fields written as a format has them.

        Examples
        --------
        >>> Turn("user", ("Is ", Field("text_a"), " praise?")).write(str.upper, "<{}>".format)
        'IS <text_a> PRAISE?'
        """
        return "".join(
            field(part.name) if isinstance(part, Field) else literal(part) for part in self.parts
        )

    def format_string(self) -> str:
        """Return the content for ``str.format``."""
        return self.write(escaped, "{{{}}}".format)


@dataclass(frozen=True, slots=True)
class Template:
    """What a model is sent for a query of a site.

    Parameters
    ----------
    prompt : TunedPrompt
    text : Turn
        The prompt as one text.
    chat : tuple of Turn or None
        The messages that the run's model is sent; None if it is sent the text.
    names : mapping of str to str
        What the task's fields are called here.
    """

    prompt: TunedPrompt
    text: Turn
    chat: tuple[Turn, ...] | None
    names: Mapping[str, str]

    @classmethod
    def of(cls, result: Result, site: str | None, usable: Callable[[str], bool]) -> Template:
        """Return the template of a site, with usable names of fields.

        Raises
        ------
        ConfigError
            As `export_prompt` does.
        """
        prompt = result.prompt(site)
        names = names_of(prompt.task.fields, usable)
        # Providers make messages from texts: fields are marked by a text that no prompt has.
        mark = uuid4().hex
        marked = prompt.render(**{field: f"{mark}{name}{mark}" for field, name in names.items()})
        messages = result.messages(marked, prompt.task.label_words)
        chat = messages and tuple(_turn(each["role"], each["content"], mark) for each in messages)
        return cls(prompt, _turn("user", marked.text, mark), chat or None, names)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Messages whose contents have the bytes that the run's model is sent."""
        return self.chat or (self.text,)


def _turn(role: str, content: str, mark: str) -> Turn:
    parts = re.split(f"{mark}(.+?){mark}", content)
    found = (Field(part) if index % 2 else part for index, part in enumerate(parts))
    return Turn(role, tuple(part for part in found if part))
