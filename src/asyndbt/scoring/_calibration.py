"""The queries that a prompt's label prior is estimated from before it is evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Final

from asyndbt.lm import CONTENT_FREE, Calibration
from asyndbt.task import Example, SiteData, Task

CALIBRATION_QUERIES: Final[Mapping[Calibration, int]] = {
    "none": 0,
    "contextual": len(CONTENT_FREE),
    "batch": 16,
}
"""Most queries that each kind of prompt in an evaluation is calibrated on."""


def content_free_queries(task: Task) -> tuple[Example, ...]:
    """Return queries in which every field says the same nothing; their label has no meaning."""
    return tuple(Example(dict.fromkeys(task.fields, text), task.labels[0]) for text in CONTENT_FREE)


def compared_queries(data: SiteData) -> tuple[Example, ...]:
    """Return a site's validation queries and then its training queries, the classes in turn."""
    return (*_in_turn(data.validation), *training_queries(data))


def training_queries(data: SiteData) -> tuple[Example, ...]:
    """Return a site's training queries, the classes in turn."""
    return tuple(_in_turn(data.train))


def calibration_queries(
    calibration: Calibration, task: Task, data: SiteData
) -> tuple[Example, ...]:
    """Return what a prompt is asked to find its prior: nothing of the test split.

    With ``batch``, the first of `compared_queries`: with the classes in turn, the prior is that of
    the model and not that of the classes.
    """
    if calibration == "contextual":
        return content_free_queries(task)
    return compared_queries(data)[: CALIBRATION_QUERIES[calibration]]


def _in_turn(examples: Iterable[Example]) -> list[Example]:
    """Return the examples in their order, one of each class after the other."""
    by_label: dict[str, list[Example]] = {}
    for example in examples:
        by_label.setdefault(example.label, []).append(example)
    rounds = zip_longest(*by_label.values())
    return [example for each in rounds for example in each if example is not None]
