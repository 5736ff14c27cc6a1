"""A language model that says what answers are worth, behind a gateway of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Final

import numpy as np

from asyndbt._text import did_you_mean, listed, shorten
from asyndbt.errors import ConfigError, ModelError, Setting
from asyndbt.lm import Answer, Gateway, Prompt, RequestCounts, Usage
from asyndbt.optim import FloatArray
from asyndbt.scoring._site_prompts import times
from asyndbt.task import Example, Task

_NUMBER: Final = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?)(?!\.?\w)")
_OUT_OF: Final = r"\s*(?:/|(?i:out of))\s*"
_OWN_FIELDS: Final = ("expected", "answer")
"""Fields of a judge's template beside those of the instruction."""
_UNREADABLE_IN_A_ROW: Final = 40
"""Consecutive replies without a number after which a judge is considered to give none."""
_LONGEST_TOKEN: Final = 16
"""Characters of a token of an answer that is judged, at most, in the mean of any text."""


class Judge:
    """Asks a language model what answers are worth.

    Parameters
    ----------
    gateway : Gateway
        The judge's own: its budget and ledger are apart from those of the model that is tuned for.
    template : str
        What it is asked, with the fields of the instruction, ``{expected}`` and ``{answer}``.
    scale : float
        The number that it gives a perfect answer.
    task : Task
    """

    def __init__(self, gateway: Gateway, template: str, scale: float, task: Task) -> None:
        check_template(template, task)
        self.gateway, self._template, self._scale = gateway, template, scale
        self._bound, self._unreadable = Usage(), 0

    async def rewards(
        self, examples: Sequence[Example], answers: Sequence[Answer | None]
    ) -> FloatArray:
        """Return the rewards (B,); NaN where there is no answer, or no number in a reply.

        Raises
        ------
        BudgetExhausted
            If the judge's budget does not cover the requests.
        ModelError
            If no request can succeed, or 40 replies in a row have no number.
        """
        found = np.full(len(answers), np.nan)
        asked = [index for index, answer in enumerate(answers) if answer is not None]
        texts = {index: answer.text or "" for index, answer in enumerate(answers) if answer}
        prompts = [self.prompt(examples[index], texts[index]) for index in asked]
        replies = await self.gateway.ask(prompts, ())
        for index, reply in zip(asked, replies, strict=True):
            if reply is not None:
                found[index] = self._read(reply.text or "")
        return found

    def prompt(self, example: Example, answer: str) -> Prompt:
        """Return what the judge is asked about an answer."""
        texts = {**example.fields, "expected": example.label, "answer": answer}
        return Prompt((), self._template.format(**texts))

    def expect(self, examples: Sequence[Example], answer_tokens: int) -> None:
        """Bound what one judgement costs, by the examples and the most tokens of an answer."""
        longest = "x" * (_LONGEST_TOKEN * answer_tokens)
        bounds = [self.gateway.model.max_usage(self.prompt(each, longest)) for each in examples]
        self._bound = Usage(
            1,
            max(bound.tokens_in for bound in bounds),
            max(bound.tokens_out for bound in bounds),
            max(bound.money for bound in bounds),
        )

    def max_usage(self, answers: int) -> Usage:
        """Upper bound of what so many judgements cost."""
        return times(self._bound, answers)

    def affords(self, answers: int) -> bool:
        """Whether the judge's budget covers so many judgements beside those kept back."""
        return self.gateway.budget.affords(self.max_usage(answers))

    def keep(self, purpose: str, answers: int) -> None:
        """Keep budget back for so many judgements, in place of what was kept for this purpose."""
        self.gateway.budget.reserve(purpose, self.max_usage(answers))

    def restore(self, counts: Mapping[str, int]) -> None:
        """Continue from the counts of a checkpoint."""
        self.gateway.restore(RequestCounts(**counts))

    def _read(self, reply: str) -> float:
        value = read_number(reply, self._scale)
        self._unreadable = self._unreadable + 1 if math.isnan(value) else 0
        if self._unreadable < _UNREADABLE_IN_A_ROW:
            return value / self._scale
        error = ModelError(
            f"{self._unreadable} replies of the judge in a row give no number from 0 to "
            f"{self._scale:g}: ask for one and nothing else in task.judge.prompt",
            provider=self.gateway.model.name.partition("/")[0],
        )
        # In a note: what a model said is for the screen, and in no record.
        error.add_note(f"the last reply: {shorten(reply)}")
        raise error


def read_number(reply: str, scale: float) -> float:
    """Return the number from 0 to `scale` that a reply gives; NaN if it gives none, or several.

    Examples
    --------
    >>> read_number("7", 10), read_number("I would say 7.5/10.", 10), read_number("7 or 8", 10)
    (7.0, 7.5, nan)
    >>> read_number("75 %", 10)
    7.5
    """
    whole = re.escape(f"{scale:.12g}")
    out_of, shares = (
        {float(number) for number in re.findall(rf"{_NUMBER.pattern}(?={follows})", reply)}
        for follows in (rf"{_OUT_OF}{whole}\b", r"\s*%")
    )
    values = out_of or {share / 100 * scale for share in shares}
    values = values or {float(number) for number in _NUMBER.findall(reply)}
    value = values.pop() if len(values) == 1 else math.nan
    return value if 0 <= value <= scale else math.nan


def check_template(template: str, task: Task) -> None:
    """Raise ConfigError if the template of a judge cannot be filled."""
    for name in _OWN_FIELDS:
        if name in task.fields:
            raise ConfigError(
                Setting("judge"),
                f": the instruction has a field {name!r} too, which no judge would see: give the "
                "field another name",
            )
    known = (*task.fields, *_OWN_FIELDS)
    try:
        shown = [
            (name, conversion or spec)
            for _, name, spec, conversion in Formatter().parse(template)
            if name is not None
        ]
    except ValueError as error:
        raise ConfigError(Setting("judge"), f": {error}; write {{{{ for a plain brace") from None
    for name, form in shown:
        if name not in known:
            raise ConfigError(
                Setting("judge"),
                f" has the field {{{name}}}; there are {listed(known)}{did_you_mean(name, known)}",
            )
        if form:
            raise ConfigError(
                Setting("judge"),
                f": field {name!r} has a conversion or a format; write just {{{name}}}",
            )
    if all(name != "answer" for name, _ in shown):
        raise ConfigError(Setting("judge"), " does not show the {answer} that is judged")
