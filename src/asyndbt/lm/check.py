"""Finding unusable labels and too long prompts before the first request."""

from __future__ import annotations

from collections.abc import Sequence

from asyndbt.errors import DataError
from asyndbt.lm.parsing import parse_label
from asyndbt.lm.protocol import LanguageModel, Prompt

__all__ = ["check_requests"]


def check_requests(
    model: LanguageModel, labels: Sequence[str], prompts: Sequence[Prompt] = ()
) -> None:
    """Check labels and prompts without sending a request.

    Parameters
    ----------
    model : LanguageModel
    labels : sequence of str
        Label words in class order.
    prompts : sequence of Prompt
        Examples of what will be sent, the longest among them.

    Raises
    ------
    DataError
        If there are fewer than two labels, an answer could not tell two of them apart, the model
        cannot, or a prompt is too long for it.

    Examples
    --------
    >>> from asyndbt.lm import ScriptedLanguageModel
    >>> check_requests(ScriptedLanguageModel({}), ["Yes", "yes"])
    Traceback (most recent call last):
    asyndbt.errors.DataError: labels 'Yes' and 'yes' read the same; use different words
    """
    if len(labels) < 2:
        raise DataError(f"labels {list(labels)}: at least two label words are needed")
    for index, label in enumerate(labels):
        read = parse_label(label, labels)
        if read is None:
            raise DataError(f"label {label!r} cannot be found in an answer; use a word")
        if read != index:
            raise DataError(
                f"labels {labels[read]!r} and {label!r} read the same; use different words"
            )
    model.check(prompts, labels)
