"""The tuned prompt: an object, JSON and plain text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from asyndbt._text import as_text, as_texts, counted, did_you_mean, listed, shorten
from asyndbt.errors import AsyndbtError, ConfigError, DataError
from asyndbt.lm import LabelPrior, Prompt
from asyndbt.prompt._nearest import Demonstration, Nearest, examples_in
from asyndbt.prompt._rendering import block_template, escaped, fold, render, render_all
from asyndbt.task import Example, Task

_FORMAT, _WITH_REWARD, _WITH_RULES = (f"asyndbt-prompt/{number}" for number in (1, 2, 3))
_FORMATS: Final = (_FORMAT, _WITH_REWARD, _WITH_RULES)


@dataclass(frozen=True)
class TunedPrompt:
    """A task with the fragment and the demonstrations found for it.

    Parameters
    ----------
    task : Task
    fragment : tuple of str
        Words in order; may be empty.
    demonstrations : tuple of Example or Nearest
        In the order shown; may be empty.
    prior : LabelPrior, optional
        What a model's answers are calibrated with.

    Raises
    ------
    DataError
        If a demonstration or the prior does not fit the task.

    Examples
    --------
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> shown = Example({"text_a": "I am happy"}, "1")
    >>> prompt = TunedPrompt(task, ("think", "twice"), (shown,))
    >>> print(prompt.text_template())
    Question: Is "I am happy" praise? Note: think twice. Answer: yes
    Question: Is "{text_a}" praise? Note: think twice. Answer:
    >>> prompt.text_template().format(text_a="Not bad") == prompt.render(text_a="Not bad").text
    True
    >>> TunedPrompt.from_dict(prompt.to_dict()) == prompt
    True
    """

    task: Task
    fragment: tuple[str, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    prior: LabelPrior | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fragment", tuple(self.fragment))
        object.__setattr__(self, "demonstrations", tuple(self.demonstrations))
        if self.prior is not None and len(self.prior.log_probabilities) != len(self.task.labels):
            raise DataError(
                f"prior: {len(self.prior.log_probabilities)} probabilities for "
                f"{len(self.task.labels)} labels; save the prompt again"
            )
        for number, shown in enumerate(self.demonstrations, start=1):
            for example in examples_in([shown]):
                self.task.class_of(example.label)
                _check_fields(f"demonstration {number}", example.fields, self.task)
        _check_shelves(self.demonstrations)

    @property
    def is_fixed(self) -> bool:
        """Whether every query is shown the same demonstrations."""
        return all(isinstance(shown, Example) for shown in self.demonstrations)

    def prepare(self) -> None:
        """Load what finds demonstrations for queries, if any does, before there is a query.

        Raises
        ------
        MissingExtraError
            If the package that compares texts is not installed.
        ConfigError
            If the encoder cannot be loaded.
        """
        for shown in self.demonstrations:
            if isinstance(shown, Nearest):
                shown.prepare()

    def render(self, /, **fields: str) -> Prompt:
        """Build the prompt for one query.

        Parameters
        ----------
        **fields : str
            One text per field of the task.

        Returns
        -------
        Prompt

        Raises
        ------
        DataError
            If a field is missing or not a text.
        MissingExtraError
            If a demonstration is to be found for the query, and the package that compares texts is
            not installed.
        """
        return self.render_all([fields])[0]

    def render_all(self, queries: Iterable[Mapping[str, str]]) -> list[Prompt]:
        """Build the prompts of `render` for the fields of several queries; raises as it does."""
        asked = list(queries)
        for fields in asked:
            _check_fields("query", fields, self.task)
        return render_all(self.task, self.demonstrations, self.fragment, asked)

    def template(self) -> Prompt:
        """Return the prompt with ``{field}`` where the query goes, for ``str.format``.

        Raises
        ------
        ConfigError
            If the demonstrations are found for every query: there is no one prompt then.
        """
        fixed = [shown for shown in self.demonstrations if isinstance(shown, Example)]
        if len(fixed) < len(self.demonstrations):
            raise ConfigError(
                "the prompt has demonstrations that are found for every query "
                "(method.neighbours), and so no text that is the same for all"
            )
        shots = tuple(self._shot_template(shown) for shown in fixed)
        return Prompt(shots, block_template(self.task, self.fragment))

    def _shot_template(self, shown: Example) -> tuple[str, str]:
        block = render(self.task, (), self.fragment, shown.fields).query
        return escaped(block), escaped(fold(self.task.word_of(shown.label)))

    def text_template(self) -> str:
        """Return the whole prompt as plain text, with ``{field}`` where the query goes.

        ``text_template().format(**fields)`` is byte for byte what `render` sends as text, for
        fields on one line; apply `asyndbt.prompt.fold` to others first, as `render` does.

        Raises
        ------
        ConfigError
            As `template` does.
        """
        return self.template().text

    def outline(self) -> str:
        """Return the prompt for a reader: as `text_template`, with rules in words.

        In place of a demonstration that is found for every query stands a line in brackets, with
        its answer if that is always the same.
        """
        lines = [
            " ".join(self._shot_template(shown))
            if isinstance(shown, Example)
            else escaped(self._rule_line(shown))
            for shown in self.demonstrations
        ]
        return "\n".join([*lines, block_template(self.task, self.fragment)])

    def _rule_line(self, rule: Nearest) -> str:
        line = f"[{rule}, of {counted(len(rule.shelf), 'example')}]"
        return line if rule.label is None else f"{line} {fold(self.task.word_of(rule.label))}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, without the origins of the demonstrations."""
        prior = {} if self.prior is None else {"prior": asdict(self.prior)}
        shelves = list(
            dict.fromkeys(each.shelf for each in self.demonstrations if isinstance(each, Nearest))
        )
        rules = {"shelves": [[_example_dict(each) for each in shelf] for shelf in shelves]}
        return {
            "format": self._format,
            **prior,
            "task": self.task.to_dict(),
            "fragment": list(self.fragment),
            "demonstrations": [
                _example_dict(shown)
                if isinstance(shown, Example)
                else {"nearest": shown.similarity, "shelf": shelves.index(shown.shelf)}
                for shown in self.demonstrations
            ],
            **(rules if shelves else {}),
        }

    @property
    def _format(self) -> str:
        if not self.is_fixed:
            return _WITH_RULES
        return _FORMAT if self.task.reward is None else _WITH_REWARD

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TunedPrompt:
        """Inverse of `to_dict`.

        Raises
        ------
        DataError
            If a field is missing, or the format is of another version.
        """
        if not isinstance(data, Mapping):
            raise DataError(f"prompt: found {shorten(data)} in place of an object")
        found = data.get("format")
        if found not in _FORMATS:
            raise DataError(
                f"prompt: its format is {found!r}, this version reads {listed(_FORMATS)}"
            )
        try:
            shelves = [tuple(map(_example, shelf)) for shelf in data.get("shelves", ())]
            return cls(
                Task.from_dict(data["task"]),
                as_texts(data["fragment"]),
                tuple(_demonstration(shown, shelves) for shown in data["demonstrations"]),
                LabelPrior.from_dict(data["prior"]) if "prior" in data else None,
            )
        except KeyError as error:
            raise DataError(f"prompt: {error} is missing; save the prompt again") from None
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"prompt: a value has the wrong type ({error}); save the prompt again"
            ) from None

    def save(self, path: Path) -> None:
        """Write the prompt as JSON, atomically."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2)
        part = path.with_name(f"{path.name}.part")
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> TunedPrompt:
        """Read a prompt from a file that `save` wrote.

        Raises
        ------
        DataError
            If the file is missing or is not such a prompt.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; check the path") from None
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error}); name a file that save wrote") from None
        try:
            return cls.from_dict(data)
        except AsyndbtError as error:
            raise DataError(f"{path}: {error}") from None


def _example_dict(example: Example) -> dict[str, Any]:
    return {"fields": dict(example.fields), "label": example.label, "site": example.site}


def _example(data: Mapping[str, Any]) -> Example:
    return Example(data["fields"], as_text(data["label"]), data["site"])


def _demonstration(
    data: Mapping[str, Any], shelves: Sequence[tuple[Example, ...]]
) -> Demonstration:
    if "nearest" in data:
        return Nearest(as_text(data["nearest"]), shelves[data["shelf"]])
    return _example(data)


def _check_shelves(demonstrations: Sequence[Demonstration]) -> None:
    """Raise DataError if rules may run out of examples that the prompt does not show yet."""
    fixed = {shown for shown in demonstrations if isinstance(shown, Example)}
    rules = [shown for shown in demonstrations if isinstance(shown, Nearest)]
    for rule in rules:
        others = sum(not set(rule.shelf).isdisjoint(each.shelf) for each in rules)
        free = len(set(rule.shelf) - fixed)
        if free < max(1, others):
            raise DataError(
                f"prompt: {counted(free, 'example')} to choose from for "
                f"{counted(max(1, others), 'demonstration')}; save the prompt again"
            )


def _check_fields(what: str, fields: Mapping[str, Any], task: Task) -> None:
    for name in task.fields:
        if name not in fields:
            raise DataError(
                f"{what}: no text for field {name!r} of the instruction, only for"
                f" {listed(fields) or 'none'}{did_you_mean(name, fields)}"
            )
        if not isinstance(fields[name], str):
            raise DataError(f"{what}: field {name!r} is {shorten(fields[name])}; give it a text")
