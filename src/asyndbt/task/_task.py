"""A task: the question, and how answers are judged, by labels or by a reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Any, Final, Self

from asyndbt._measure import Measure, ScoreKeys
from asyndbt._spelling import caseless
from asyndbt._text import as_text, as_texts, counted, did_you_mean, listed
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._rewards import Reward

_ALL_ROWS: Final = "all rows"
MOST_COST: Final = 20.0
"""Largest cost of a wrong label, within the losses that messages may have."""


@dataclass(frozen=True)
class Task:
    """A task for a language model: to choose a label, or to answer in words of its own.

    With labels an answer is right or wrong. With a reward it is a text that is worth more or less.

    Parameters
    ----------
    instruction : str
        Template with named fields, such as ``'Is "{text_a}" praise?'``; ``{{`` and ``}}`` stand for
        plain braces.
    labels : tuple of str
        The labels as they stand in the data, in class order; none with a reward.
    label_words : tuple of str
        The word that the language model answers for each label, in the same order.
    fragment_intro : str
        Text before the tuned fragment.
    reward : Reward, optional
        How good an answer is, where there are no labels.
    costs : tuple of tuples of float
        (U, U) costs from 0 to 20 of answering the label of a column where that of the row is right;
        none where every wrong label costs the same.

    Raises
    ------
    ConfigError
        If the template cannot be filled, the label words cannot be told apart, there are both
        labels and a reward, or the costs do not fit the labels.

    Examples
    --------
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> task.fields
    ('text_a',)
    >>> task.word_of("1")
    'yes'
    >>> Task("Is this praise?", ("0", "1"), ("no", "yes"))
    Traceback (most recent call last):
        ...
    asyndbt.errors.ConfigError: instruction: no field; name the text to judge, as {text_a}
    >>> capitals = Task("What is the capital of {country}?", reward=Reward("exact"))
    >>> capitals.classes, capitals.word_of("Paris")
    (('all rows',), 'Paris')
    """

    instruction: str
    labels: tuple[str, ...] = ()
    label_words: tuple[str, ...] = ()
    fragment_intro: str = "Note:"
    reward: Reward | None = None
    costs: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "label_words", tuple(self.label_words))
        object.__setattr__(self, "costs", tuple(map(tuple, self.costs)))
        _template_fields(self.instruction)
        if self.reward is None:
            _check_labels(self.labels)
            _check_label_words(self.label_words, self.labels)
            _check_costs(self.costs, self.labels)
        elif self.labels or self.label_words or self.costs:
            raise ConfigError(
                Setting("labels"),
                ": the task has a reward, which judges texts; give one of the two",
            )

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields in the instruction, in order of first appearance."""
        return _template_fields(self.instruction)

    @property
    def measure(self) -> Measure:
        """What a score of answers is called in records."""
        return "accuracy" if self.reward is None else "mean_reward"

    @property
    def score_keys(self) -> ScoreKeys:
        """Keys of the share and of the mean loss in a score of a record."""
        return self.measure, "mean_cost" if self.costs else "loss"

    @property
    def classes(self) -> tuple[str, ...]:
        """What examples are drawn from separately: the labels, or one class of all rows."""
        return self.labels if self.reward is None else (_ALL_ROWS,)

    def class_of(self, label: str) -> int:
        """Index in `classes` of a data label, or of an expected answer.

        Raises
        ------
        DataError
            If the task has no such label.
        """
        if self.reward is not None:
            return 0
        try:
            return self.labels.index(label)
        except ValueError:
            hint = did_you_mean(label, self.labels)
            raise DataError(
                f"unknown label {label!r}; the task has {listed(self.labels)}{hint}"
            ) from None

    def word_of(self, label: str) -> str:
        """Word that the language model answers for a data label; an expected answer itself."""
        return label if self.reward is not None else self.label_words[self.class_of(label)]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        judged: dict[str, Any] = {
            "labels": list(self.labels),
            "label_words": list(self.label_words),
        }
        if self.costs:
            judged["costs"] = [list(row) for row in self.costs]
        if self.reward is not None:
            judged = {"reward": self.reward.to_dict()}
        return {
            "instruction": self.instruction,
            **judged,
            "fragment_intro": self.fragment_intro,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises
        ------
        KeyError, TypeError
            If an entry is missing or of another type.
        """
        instruction = as_text(data["instruction"])
        if "reward" in data:
            reward = Reward.from_dict(data["reward"])
            intro = as_text(data["fragment_intro"])
            return cls(instruction, fragment_intro=intro, reward=reward)
        labels, words = as_texts(data["labels"]), as_texts(data["label_words"])
        costs = tuple(tuple(map(float, row)) for row in data.get("costs", ()))
        return cls(instruction, labels, words, as_text(data["fragment_intro"]), costs=costs)


def _template_fields(instruction: str) -> tuple[str, ...]:
    try:
        parts = list(Formatter().parse(instruction))
    except ValueError as error:
        raise ConfigError(
            Setting("instruction"),
            f": {error}; write {{{{ and }}}} for plain braces, {{text_a}} for a field",
        ) from None
    names: dict[str, None] = {}
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier():
            raise ConfigError(
                Setting("instruction"),
                f": {{{name}}} is not a field name; use letters, digits and _, such"
                " as {text_a}, or write {{ and }} for plain braces",
            )
        if conversion or spec:
            raise ConfigError(
                Setting("instruction"),
                f": field {name!r} has a conversion or a format; write just {{{name}}}",
            )
        names[name] = None
    if not names:
        raise ConfigError(Setting("instruction"), ": no field; name the text to judge, as {text_a}")
    return tuple(names)


def _check_labels(labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise ConfigError(Setting("labels"), f": {len(labels)} given; a task needs 2 or more")
    for index, label in enumerate(labels):
        if label in labels[:index]:
            raise ConfigError(
                Setting("labels"), f": {label!r} stands there twice; name each label once"
            )


def _check_label_words(words: Sequence[str], labels: Sequence[str]) -> None:
    if len(words) != len(labels):
        raise ConfigError(
            Setting("labels"),
            f": {counted(len(words), 'word')} for {counted(len(labels), 'label')}; give one word "
            "per label, in the order of labels",
        )
    for word, label in zip(words, labels, strict=True):
        if not word.strip():
            raise ConfigError(
                Setting("labels"), f": the word for label {label!r} is empty; give it a word"
            )
        if word != " ".join(word.split()):
            raise ConfigError(
                Setting("labels"),
                f": {word!r} has white space at an end, doubled, or a line break; remove it",
            )
    for index, word in enumerate(words):
        for other in words[:index]:
            if caseless(word) == caseless(other):
                raise ConfigError(
                    Setting("labels"),
                    f": {other!r} and {word!r} are the same word; choose different words",
                )


def _check_costs(costs: Sequence[Sequence[float]], labels: Sequence[str]) -> None:
    if not costs:
        return
    if [len(row) for row in costs] != [len(labels)] * len(labels):
        raise ConfigError(
            Setting("costs"),
            f": give a row of {len(labels)} costs for each of {len(labels)} labels",
        )
    for index, row in enumerate(costs):
        if row[index] != 0:
            raise ConfigError(
                Setting("costs"), f": answering {labels[index]!r} where it is right costs nothing"
            )
        if not all(0 <= cost <= MOST_COST for cost in row):
            raise ConfigError(
                Setting("costs"),
                f": a cost is a number from 0 to {MOST_COST:g}; what counts is their ratio",
            )
