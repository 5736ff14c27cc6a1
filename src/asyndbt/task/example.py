"""One labelled example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Example"]


@dataclass(frozen=True)
class Example:
    """One labelled example: the texts that fill the instruction, and the label.

    Two examples are equal if texts and label are equal, wherever they come from.

    Parameters
    ----------
    fields : mapping of str to str
        Text per field of the task's instruction; copied, and not to be changed.
    label : str
        Data label, one of ``Task.labels``.
    site : str or None
        The site that owns it; None where there is only one.
    origin : str
        Where it was read, such as ``"train.jsonl line 7"``; for messages only.

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
        """The texts alone, by field name, with every run of white space as one space.

        Two examples with the same content would look the same in a prompt: this is what
        "occurs in two parts" means, whatever the labels.
        """
        return tuple(sorted((name, " ".join(text.split())) for name, text in self.fields.items()))
