"""Thoughts that stand before an answer, in the marks of many models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_WORD: Final = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)"
_BEGIN: Final = re.compile(
    rf"<\|?(?:\w+:)?(?:(?:start|begin)_(?:of_)?)?{_WORD}\|?>"  # <think>, <|begin_of_thought|>
    r"|\[think\]|◁think▷"
    r"|<\|channel\|?>\s*(?!final)\w+"
    r"|\A\s*analysis(?=[A-Z].*assistant)"  # channels whose marks the server took out
    r"|\A\s*here is my thought process:",
    re.IGNORECASE | re.DOTALL,
)
_END: Final = re.compile(
    rf"<\|?(?:/(?:\w+:)?|end_(?:of_)?){_WORD}\|?>"
    r"|\[/think\]|◁/think▷"
    r"|<\|channel\|>\s*final\s*(?:<\|\w+\|>[^<]*)?<\|message\|>|<channel\|>"
    r"|(?<=\S)assistantfinal"
    r"|^\s*here is my response:",
    re.IGNORECASE | re.MULTILINE,
)
_MARKS: Final = re.compile(r"<\|[^<>|]{1,40}\|>|</s>")
"""Marks of a template around what a model said."""


@dataclass(frozen=True, slots=True)
class Thought:
    """Where a thought stands in a text, and the answer after it.

    `start` is where the answer starts, None if the thought does not end; `opened` and `closed` are
    whether it has its marks: a template may already have opened it.

    Examples
    --------
    >>> Thought.of("<think>Easy.</think>great")
    Thought(start=20, opened=True, closed=True)
    >>> Thought.of("Easy.</think>great"), Thought.of("<think>It could be great, or")
    (Thought(start=13, opened=False, closed=True), Thought(start=None, opened=True, closed=False))
    >>> Thought.of("great")
    Thought(start=0, opened=False, closed=False)
    """

    start: int | None
    opened: bool
    closed: bool

    @classmethod
    def of(cls, text: str) -> Thought:
        begins = [mark.start() for mark in _BEGIN.finditer(text)]
        ends = [mark.end() for mark in _END.finditer(text)]
        last = ends[-1] if ends else 0
        unended = any(begin >= last for begin in begins)
        return cls(None if unended else last, bool(begins), bool(ends))

    def answer(self, text: str) -> str:
        """Return what follows the thought, without marks of a template; empty if nothing does."""
        return "" if self.start is None else _MARKS.sub(" ", text[self.start :])
