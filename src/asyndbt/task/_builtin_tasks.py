"""The six tasks of the paper as templates.

Wording: the query templates of the paper (Ma et al., doi 10.1038/s41598-026-39582-5).  Labels are
those of the GLUE files; the columns there have other names: see ``data.columns``.
"""

from __future__ import annotations

from typing import Final

from asyndbt._text import did_you_mean, listed
from asyndbt.errors import ConfigError, Setting
from asyndbt.task._task import Task

_YES_NO: Final = 'Respond ONLY with "Yes" or "No".'

_TASKS: Final = {
    "5g": Task(
        "In 5G network, Whether {text_a} related to {text_b}?"
        f" Some contextual information: {{context}}. {_YES_NO}",
        ("0", "1"),
        ("No", "Yes"),
    ),
    "cola": Task(
        f"Is this sentence {{text_a}} grammatically correct? {_YES_NO}", ("0", "1"), ("No", "Yes")
    ),
    "mrpc": Task(
        f"Whether sentence {{text_a}} and sentence {{text_b}} are semantically the same? {_YES_NO}",
        ("0", "1"),
        ("No", "Yes"),
    ),
    "qnli": Task(
        f"Whether sentence {{text_a}} and sentence {{text_b}} have semantic entailment relations?"
        f" {_YES_NO}",
        ("0", "1"),
        ("Yes", "No"),
    ),
    "qqp": Task(
        f"Whether sentence {{text_a}} and sentence {{text_b}} are paraphrased from each other?"
        f" {_YES_NO}",
        ("0", "1"),
        ("No", "Yes"),
    ),
    "sst2": Task(
        'How is the sentiment of the sentence {text_a}? Respond ONLY with "Great" or "Terrible".',
        ("0", "1"),
        ("Terrible", "Great"),
    ),
}

BUILTIN_TASK_NAMES: Final = tuple(sorted(_TASKS))
"""Names that `builtin_task` knows."""


def builtin_task(name: str) -> Task:
    """Return one of the paper's six tasks.

    Parameters
    ----------
    name : {"5g", "cola", "mrpc", "qnli", "qqp", "sst2"}

    Returns
    -------
    Task
        Its fields are ``text_a``, for pairs ``text_b``, and for 5G also ``context``.

    Raises
    ------
    ConfigError
        If there is no such task.

    Examples
    --------
    >>> builtin_task("sst2").instruction
    'How is the sentiment of the sentence {text_a}? Respond ONLY with "Great" or "Terrible".'
    >>> builtin_task("qnli").label_words
    ('Yes', 'No')
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise ConfigError(
            Setting("template"),
            f" = {name!r} is not built in; there are {listed(BUILTIN_TASK_NAMES)}"
            f"{did_you_mean(name, BUILTIN_TASK_NAMES)}",
        ) from None
