"""Hints that one site's model writes: rounds of wrong answers shown and hints asked for.

In every round the plain prompt is scored on a few training queries, and the model is shown some
that it got wrong. Hints that repeat texts of the site stay there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from asyndbt.config import Config
from asyndbt.errors import BudgetError
from asyndbt.hints import LocalTexts, Mistake, hints_prompt, read_hints
from asyndbt.lm import Answer, Gateway, LabelPrior, LanguageModel, Prompt, RequestCounts, Usage
from asyndbt.prompt import LONGEST_ENTRY, render_all
from asyndbt.scoring import SitePrompts, training_queries
from asyndbt.task import Example, Reward, Task

_QUERIES: Final = 16
"""Training queries of a round."""
_SHOWN: Final = 6
"""Most wrong answers that are shown in a round."""


@dataclass(frozen=True, slots=True)
class SiteHints:
    """Hints of one site, and what they cost.

    Parameters
    ----------
    hints : tuple of str
        Those that may leave it, in the order in which they were written.
    copied : int
        Those that repeat texts of the site, and stay there.
    spent : Usage
    counts : RequestCounts
        Of its gateway, which goes on from here.
    """

    hints: tuple[str, ...]
    copied: int
    spent: Usage
    counts: RequestCounts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict`, also of what JSON has made of it."""
        spent, counts = Usage(**data["spent"]), RequestCounts(**data["counts"])
        return cls(tuple(data["hints"]), data["copied"], spent, counts)


def hints_bound(config: Config, prompts: SitePrompts, model: LanguageModel) -> Usage:
    """Return the most that the hints of a site cost, whose vocabulary is of stand-ins for them.

    Raises
    ------
    DataError
        If the model cannot read as much as it is to be shown.
    """
    method, task, rounds = config.method, prompts.task, config.method.proposal_rounds
    asked = [(model.max_usage(prompt), query) for prompt, query in _plain(prompts)]
    asked.sort(key=lambda pair: -pair[0].tokens)
    longest = max(task.label_words, key=len, default="x" * LONGEST_ENTRY)
    shown = [Mistake(q.fields, task.word_of(q.label), longest) for _, q in asked[:_SHOWN]]
    known = prompts.vocabulary[:1] * (method.proposals * (rounds - 1))
    asking = hints_prompt(task, shown, known, method.proposals)
    model.check([asking], task.label_words)
    scored = [usage for usage, _ in asked[: _QUERIES * rounds]]
    return sum((*scored, *[model.max_usage(asking)] * rounds), Usage())


async def ask_site(config: Config, prompts: SitePrompts, gateway: Gateway) -> SiteHints:
    """Ask for the hints of one site, as far as the gateway's budget goes.

    Raises
    ------
    ModelError
        If no request can succeed.
    """
    method, task = config.method, prompts.task
    written: dict[str, None] = {}
    for number in range(method.proposal_rounds):
        try:
            mistakes = await _mistakes(config, prompts, number, gateway)
            asking = hints_prompt(task, mistakes[:_SHOWN], list(written), method.proposals)
            (answer,) = await gateway.ask([asking], ())
        except BudgetError:
            break
        text = "" if answer is None else _whole_lines(answer, asking)
        written |= dict.fromkeys(read_hints(text, method.proposals))
    known = (task.instruction, *task.label_words)
    local = LocalTexts(prompts.data.texts(task), method.proposal_ngram, known)
    kept = tuple(hint for hint in written if not local.has_copied(hint))
    return SiteHints(kept, len(written) - len(kept), gateway.budget.spent, gateway.counts)


def _whole_lines(answer: Answer, asked: Prompt) -> str:
    """Return what was written, without a last line that the limit of tokens has cut off."""
    text = answer.text or ""
    cut = answer.usage.tokens_out >= (asked.most_tokens or 0)
    return text.rpartition("\n")[0] if cut else text


def _plain(prompts: SitePrompts) -> list[tuple[Prompt, Example]]:
    """Return the plain prompts about the training queries, the classes in turn."""
    queries = training_queries(prompts.data)
    plain = render_all(prompts.task, (), (), (query.fields for query in queries))
    return list(zip(plain, queries, strict=True))


async def _mistakes(
    config: Config, prompts: SitePrompts, number: int, gateway: Gateway
) -> list[Mistake]:
    """Return what the plain prompt gets wrong of the training queries of a round."""
    every, first = _plain(prompts), number * _QUERIES
    places = {place % len(every) for place in range(first, first + _QUERIES)}
    asked = [every[place] for place in sorted(places)]
    if prompts.task.reward is None:
        return await _wrong_labels(config, prompts.task, asked, gateway)
    return await _poor_answers(prompts.task.reward, asked, gateway)


async def _wrong_labels(
    config: Config, task: Task, asked: Sequence[tuple[Prompt, Example]], gateway: Gateway
) -> list[Mistake]:
    lm, words = config.lm, task.label_words
    found = await gateway.predict([prompt for prompt, _ in asked], words, lm.feedback, lm.smoothing)
    if lm.calibration != "none":
        found = LabelPrior.of(found).calibrate(found)
    answers = zip(asked, found.labels, found.answered, strict=True)
    return [
        Mistake(query.fields, task.word_of(query.label), words[label] if label >= 0 else None)
        for (_, query), label, answered in answers
        if answered and label != task.class_of(query.label)
    ]


async def _poor_answers(
    reward: Reward, asked: Sequence[tuple[Prompt, Example]], gateway: Gateway
) -> list[Mistake]:
    # A judge is paid out of a budget of its own, and is not asked about these.
    worth = Reward("exact") if reward.is_judge else reward
    answers = await gateway.ask([prompt for prompt, _ in asked], ())
    return [
        Mistake(query.fields, query.label, answer.text or "")
        for (_, query), answer in zip(asked, answers, strict=True)
        if answer is not None and worth(query, answer.text or "") < 1
    ]
