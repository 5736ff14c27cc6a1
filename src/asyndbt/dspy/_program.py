"""Programs of DSPy with one choice to make: what they choose from, and a prompt put into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from asyndbt._text import counted, listed
from asyndbt.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Choice:
    """The output of a program, one of several values.

    Parameters
    ----------
    field : str
        Name of the output.
    values : tuple
    """

    field: str
    values: tuple[Any, ...]

    def index(self, value: Any) -> int | None:
        """Return the place of a value; None for any other."""
        for place, each in enumerate(self.values):
            if type(each) is type(value) and each == value:
                return place
        return None


def predictor_of(program: Any) -> Any:
    """Return the only ``dspy.Predict`` of a program; raises ConfigError if there is not one."""
    predictors = program.predictors()
    if len(predictors) != 1:
        raise ConfigError(
            f"the program has {counted(len(predictors), 'predictor')}: AsynDBT tunes programs of "
            "one dspy.Predict"
        )
    return predictors[0]


def choice_of(program: Any) -> Choice:
    """Return what a program chooses from.

    Raises
    ------
    ConfigError
        If it has not one predictor, or this has another output than one ``Literal``.
    """
    outputs = predictor_of(program).signature.output_fields
    if len(outputs) != 1:
        raise ConfigError(
            f"the signature has the outputs {listed(outputs)}: AsynDBT tunes programs with one, a "
            "Literal of two values or more"
        )
    ((name, field),) = outputs.items()
    values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if len(values) < 2:
        raise ConfigError(
            f"output {name!r} is not a choice: declare it as a Literal of two values or more"
        )
    return Choice(name, values)


def with_prompt(program: Any, note: str, demos: Sequence[Mapping[str, Any]]) -> Any:
    """Return a copy of a program with a note below its instructions, and these demonstrations.

    Parameters
    ----------
    program : dspy.Module
    note : str
        Empty for none.
    demos : sequence of mapping
        Of each, the fields of the signature are shown.
    """
    import dspy

    changed = program.deepcopy()
    predictor = predictor_of(changed)
    signature = predictor.signature
    if note:
        signature = signature.with_instructions(f"{signature.instructions}\n\n{note}")
    predictor.signature = signature
    predictor.demos = [
        dspy.Example(**{name: demo[name] for name in signature.fields if name in demo})
        for demo in demos
    ]
    return changed
