"""Rendering: the prompt of a task, demonstrations, a fragment and a query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from asyndbt.lm import Prompt
from asyndbt.prompt._nearest import Demonstration, shown_to
from asyndbt.task import Example, Task

_LINE_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def fold(text: str) -> str:
    r"""Put a text on one line: line breaks become spaces, white space at both ends is stripped.

    Examples
    --------
    >>> fold("first line\r\n  second line\n")
    'first line second line'
    """
    return _LINE_BREAKS.sub(" ", text).strip()


def block_template(task: Task, fragment: Sequence[str] = ()) -> str:
    """Return the block of one example, for ``str.format`` with the folded fields of the task.

    Parameters
    ----------
    task : Task
    fragment : sequence of str
        Words in order; without words there is no note.

    Returns
    -------
    str
        One line; braces of the fragment are doubled for ``str.format``.

    Examples
    --------
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> block_template(task, ["think", "twice"])
    'Question: Is "{text_a}" praise? Note: think twice. Answer:'
    """
    question = fold(task.instruction)
    if not question.lower().startswith("question:"):
        question = f"Question: {question}"
    words = fold(" ".join(fragment))
    if not words:
        return f"{question} Answer:"
    note = f"{fold(task.fragment_intro)} {words if words.endswith('.') else f'{words}.'}"
    return f"{question} {escaped(note.strip())} Answer:"


def render(
    task: Task,
    demonstrations: Sequence[Demonstration],
    fragment: Sequence[str],
    fields: Mapping[str, str],
) -> Prompt:
    """Build a prompt: ``ft1(S, [I;T]) ft2(X_q, [I;T])``.

    Parameters
    ----------
    task : Task
        Holds the instruction I.
    demonstrations : sequence of Example or Nearest
        S, in the order shown.
    fragment : sequence of str
        T, repeated in every block.
    fields : mapping of str to str
        X_q, the texts of the query; fields that are not in the instruction are ignored.

    Returns
    -------
    Prompt

    Raises
    ------
    AsyndbtError
        If a demonstration is to be found for the query, and what finds it cannot be loaded.

    Examples
    --------
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> shown = [Example({"text_a": "I am happy"}, "1")]
    >>> print(render(task, shown, ["think", "twice"], {"text_a": "I am hungry"}).text)
    Question: Is "I am happy" praise? Note: think twice. Answer: yes
    Question: Is "I am hungry" praise? Note: think twice. Answer:
    """
    return render_all(task, demonstrations, fragment, [fields])[0]


def render_all(
    task: Task,
    demonstrations: Sequence[Demonstration],
    fragment: Sequence[str],
    queries: Iterable[Mapping[str, str]],
) -> list[Prompt]:
    """Build the prompts of `render` for the fields of several queries; raises as it does."""
    template = block_template(task, fragment)

    def block(texts: Mapping[str, str]) -> str:
        return template.format(**{name: fold(texts[name]) for name in task.fields})

    def shot(shown: Example) -> tuple[str, str]:
        return block(shown.fields), fold(task.word_of(shown.label))

    fixed = [each for each in demonstrations if isinstance(each, Example)]
    if len(fixed) == len(demonstrations):
        shots = tuple(map(shot, fixed))
        return [Prompt(shots, block(fields)) for fields in queries]
    asked = [Example({name: fields[name] for name in task.fields}, "") for fields in queries]
    once = cache(shot)
    return [
        Prompt(tuple(map(once, shown)), block(query.fields))
        for shown, query in zip(shown_to(demonstrations, asked), asked, strict=True)
    ]


def escaped(text: str) -> str:
    """Double the braces, so that ``str.format`` returns the same text."""
    return text.replace("{", "{{").replace("}", "}}")
