"""A classification task, and one labelled example of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import Formatter

from asyndbt._spelling import caseless, composed
from asyndbt._text import counted, did_you_mean, listed
from asyndbt.errors import ConfigError, DataError, Setting


@dataclass(frozen=True)
class Task:
    """A classification task for a language model.

    Parameters
    ----------
    instruction : str
        Template with named fields, such as ``'Is "{text_a}" praise?'``; ``{{`` and ``}}`` stand for
        plain braces.
    labels : tuple of str
        The labels as they stand in the data, in class order.
    label_words : tuple of str
        The word that the language model answers for each label, in the same order.
    fragment_intro : str
        Text before the tuned fragment.

    Raises
    ------
    ConfigError
        If the template cannot be filled, or the label words cannot be told apart.

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
    """

    instruction: str
    labels: tuple[str, ...]
    label_words: tuple[str, ...]
    fragment_intro: str = "Note:"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "label_words", tuple(self.label_words))
        _template_fields(self.instruction)
        _check_labels(self.labels)
        _check_label_words(self.label_words, self.labels)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields in the instruction, in order of first appearance."""
        return _template_fields(self.instruction)

    def class_of(self, label: str) -> int:
        """Class index of a data label.

        Raises
        ------
        DataError
            If the task has no such label.
        """
        try:
            return self.labels.index(label)
        except ValueError:
            hint = did_you_mean(label, self.labels)
            raise DataError(
                f"unknown label {label!r}; the task has {listed(self.labels)}{hint}"
            ) from None

    def word_of(self, label: str) -> str:
        """Word that the language model answers for a data label."""
        return self.label_words[self.class_of(label)]


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


@dataclass(frozen=True)
class Example:
    """One labelled example: the texts that fill the instruction, and the label.

    Two examples are equal if texts and label are equal, wherever they come from.

    Parameters
    ----------
    fields : mapping of str to str
        Text per field of the task's instruction; copied.
    label : str
        Data label, one of ``Task.labels``.
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
