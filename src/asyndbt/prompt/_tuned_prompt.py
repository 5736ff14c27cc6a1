"""The tuned prompt: an object, JSON and plain text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyndbt._text import as_text, as_texts, did_you_mean, listed, shorten
from asyndbt.errors import AsyndbtError, DataError
from asyndbt.lm import LabelPrior, Prompt
from asyndbt.prompt._rendering import block_template, escaped, fold, render
from asyndbt.task import Example, Task

_FORMAT, _WITH_REWARD = "asyndbt-prompt/1", "asyndbt-prompt/2"


@dataclass(frozen=True)
class TunedPrompt:
    """A task with the fragment and the demonstrations found for it.

    Parameters
    ----------
    task : Task
    fragment : tuple of str
        Words in order; may be empty.
    demonstrations : tuple of Example
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
    demonstrations: tuple[Example, ...] = ()
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
            self.task.class_of(shown.label)
            _check_fields(f"demonstration {number}", shown.fields, self.task)

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
        """
        _check_fields("query", fields, self.task)
        return render(self.task, self.demonstrations, self.fragment, fields)

    def template(self) -> Prompt:
        """Return the prompt with ``{field}`` where the query goes, for ``str.format``."""
        query = block_template(self.task, self.fragment)
        shots = tuple(
            (escaped(render(self.task, (), self.fragment, shown.fields).query), escaped(word))
            for shown in self.demonstrations
            for word in (fold(self.task.word_of(shown.label)),)
        )
        return Prompt(shots, query)

    def text_template(self) -> str:
        """Return the whole prompt as plain text, with ``{field}`` where the query goes.

        ``text_template().format(**fields)`` is byte for byte what `render` sends as text, for
        fields on one line; apply `asyndbt.prompt.fold` to others first, as `render` does.
        """
        return self.template().text

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, without the origins of the demonstrations."""
        prior = {} if self.prior is None else {"prior": asdict(self.prior)}
        return {
            "format": _FORMAT if self.task.reward is None else _WITH_REWARD,
            **prior,
            "task": self.task.to_dict(),
            "fragment": list(self.fragment),
            "demonstrations": [
                {"fields": dict(shown.fields), "label": shown.label, "site": shown.site}
                for shown in self.demonstrations
            ],
        }

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
        if found not in (_FORMAT, _WITH_REWARD):
            raise DataError(
                f"prompt: its format is {found!r}, this version reads {_FORMAT!r} and "
                f"{_WITH_REWARD!r}"
            )
        try:
            return cls(
                Task.from_dict(data["task"]),
                as_texts(data["fragment"]),
                tuple(
                    Example(shown["fields"], as_text(shown["label"]), shown["site"])
                    for shown in data["demonstrations"]
                ),
                LabelPrior.from_dict(data["prior"]) if "prior" in data else None,
            )
        except KeyError as error:
            raise DataError(f"prompt: {error} is missing; save the prompt again") from None
        except (AttributeError, TypeError, ValueError) as error:
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


def _check_fields(what: str, fields: Mapping[str, Any], task: Task) -> None:
    for name in task.fields:
        if name not in fields:
            raise DataError(
                f"{what}: no text for field {name!r} of the instruction, only for"
                f" {listed(fields) or 'none'}{did_you_mean(name, fields)}"
            )
        if not isinstance(fields[name], str):
            raise DataError(f"{what}: field {name!r} is {shorten(fields[name])}; give it a text")
