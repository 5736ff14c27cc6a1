"""One example: the texts that fill the instruction, and the label or answer that is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from asyndbt._spelling import composed


@dataclass(frozen=True)
class Example:
    """One example: the texts that fill the instruction, and the label.

    Two examples are equal if texts and label are equal, wherever they come from.

    Parameters
    ----------
    fields : mapping of str to str
        Text per field of the task's instruction; copied.
    label : str
        Data label, one of ``Task.labels``; the expected answer where the task has a reward.
    site : str or None
        The site that owns it; None if there is only one.
    origin : str
        Source, such as ``"train.jsonl line 7"``; for messages only.

    Examples
    --------
    >>> first = Example({"text_a": "I am happy"}, "1", "north", "train.jsonl line 1")
    >>> first == Example({"text_a": "I am happy"}, "1", "south", "test.jsonl line 9")
    True
    """

    fields: Mapping[str, str]
    label: str
    site: str | None = field(default=None, compare=False)
    origin: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", dict(self.fields))

    def __hash__(self) -> int:
        return hash((self.content, self.label))

    @cached_property
    def content(self) -> tuple[tuple[str, str], ...]:
        """The texts alone, by field name: letters composed, every run of white space one space.

        Two examples of equal content look the same in a prompt and are duplicates, whatever
        their labels.
        """
        return tuple(
            sorted((name, " ".join(composed(text).split())) for name, text in self.fields.items())
        )
