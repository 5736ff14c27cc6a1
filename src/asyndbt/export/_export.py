"""From a run's result to the content of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asyndbt._text import did_you_mean, listed
from asyndbt.errors import ConfigError
from asyndbt.export._formats import FORMATS
from asyndbt.export._template import Template
from asyndbt.run import Result


@dataclass(frozen=True, slots=True)
class Export:
    """The content of a file, and what of the tuned prompt it cannot say.

    Parameters
    ----------
    content : str
        Without a line break at the end where it would be one byte too many.
    notes : tuple of str
    names : mapping of str to str
        What the task's fields are called in it.
    """

    content: str
    notes: tuple[str, ...]
    names: Mapping[str, str]


def export_prompt(result: Result, format: str, site: str | None = None) -> Export:  # noqa: A002
    """Return a site's tuned prompt in the format of another tool.

    Parameters
    ----------
    result : Result
    format : str
        One of `FORMATS`.
    site : str, optional
        May be omitted if there is only one.

    Raises
    ------
    ConfigError
        If there is no such format or site, the site is omitted and there are several, the format
        reads labels and the task has none, or holds one prompt for all queries and there is none,
        or the run was given a model of its own, which `result` has not.
    """
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS) or f"; there are: {listed(FORMATS)}"
        raise ConfigError(f"format {format!r} is unknown{hint}")
    chosen = FORMATS[format]
    if not (chosen.whole or result.prompt(site).is_fixed):
        raise ConfigError(
            f"format {format!r} holds one prompt for all queries, and this one has demonstrations "
            "that are found for each (method.neighbours): 'json' has all of it, for "
            "TunedPrompt.from_dict; asyndbt predict and serve answer with it"
        )
    template = Template.of(result, site, chosen.usable)
    if chosen.needs_labels and template.prompt.task.reward is not None:
        raise ConfigError(
            f"format {format!r} reads the answer as a label, and the task has a reward in place of "
            "labels: 'openai' and others have the prompt alone"
        )
    notes = [
        f"field {field!r} is called {name!r} in the file: format {format!r} cannot use its name"
        for field, name in template.names.items()
        if field != name
    ]
    if template.prompt.prior is not None and not chosen.whole:
        notes.append(
            f"the run's answers are calibrated (lm.calibration), which format {format!r} cannot "
            "say: labels that the model prefers will come more often; asyndbt predict and serve "
            "calibrate, and format 'json' has the prior"
        )
    if template.chat is not None and not (chosen.whole or chosen.has_roles):
        notes.append(
            f"the run's model was sent chat messages, which format {format!r} joins to one text: "
            "this text was not scored; 'openai' and others have the messages"
        )
    return Export(chosen.write(template), tuple(notes), template.names)
