"""What a language model is asked for hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyndbt.lm import Prompt
from asyndbt.prompt import fold
from asyndbt.task import Task

_MOST_CHARS: Final = 400
"""Of a text that is shown; longer ones are cut."""
_MOST_WORDS: Final = 15
"""Words of a hint that are asked for."""
_TOKENS: Final = 40
"""Most tokens of a hint that are paid for."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A training example that the plain prompt got wrong.

    Parameters
    ----------
    fields : mapping of str to str
        Its texts.
    expected : str
        The word for its label, or the answer that was expected.
    answered : str or None
        The word that was answered; None for an answer that names no label.
    """

    fields: Mapping[str, str]
    expected: str
    answered: str | None


def hints_prompt(
    task: Task, mistakes: Sequence[Mistake], known: Sequence[str], count: int
) -> Prompt:
    """Return what a model is asked for `count` hints.

    Parameters
    ----------
    task : Task
    mistakes : sequence of Mistake
        May be empty.
    known : sequence of str
        Hints that it need not write again.
    count : int
    """
    blank = task.instruction.format(**{name: f"[{name}]" for name in task.fields})
    lines = ["A language model is asked this question about many texts:", "", blank.strip(), ""]
    if task.label_words:
        lines += [f"It answers with one of: {', '.join(task.label_words)}.", ""]
    if mistakes:
        lines += ["These it got wrong:", ""]
        lines += [line for mistake in mistakes for line in (*_shown(task, mistake), "")]
    if known:
        lines += ["It has these hints already; write others:", *(f"- {hint}" for hint in known), ""]
    lines += [
        f"Write {count} short hints that would help it to answer right. A hint is a general rule "
        f"of at most {_MOST_WORDS} words for all such texts. Do not repeat words, names or numbers "
        "of the texts above. Write one hint on a line, and nothing else.",
        "",
        "Hints:",
    ]
    return Prompt((), "\n".join(lines), most_tokens=_TOKENS * count)


def _shown(task: Task, mistake: Mistake) -> list[str]:
    texts = [f"{name}: {_cut(mistake.fields[name])}" for name in task.fields]
    answered = "none of these" if mistake.answered is None else _cut(mistake.answered)
    return [*texts, f"right answer: {_cut(mistake.expected)}", f"its answer: {answered}"]


def _cut(text: str) -> str:
    line = fold(text)
    return line if len(line) <= _MOST_CHARS else f"{line[:_MOST_CHARS]}…"
