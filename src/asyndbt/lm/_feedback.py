"""From a language model's answers to losses: with log-probabilities, votes, or text alone.

The modes are never mixed: a setting says which one holds, and an answer without what it needs
is an error.

Finding unusable labels and too long prompts before the first request.

Which label word an answer in text names.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import ConfigError, DataError
from asyndbt.lm._base import Answer, LanguageModel, Prompt

__all__ = [
    "Feedback",
    "check_requests",
    "correct",
    "cross_entropy",
    "is_unparsed",
    "label_distribution",
    "losses",
    "parse_label",
    "prediction",
]

Feedback = Literal["logprobs", "votes", "text"]
Loss = Literal["cross_entropy", "error"]
FloatArray = NDArray[np.float64]

LOG_FLOOR: Final = math.log(1e-12)
"""Least log-probability of a label, so that a label that the model rules out costs 27.6 nats."""

_ANY_SMOOTHING: Final = 0.1
"""For predictions, which do not depend on it."""


def is_unparsed(answer: Answer, label_words: Sequence[str]) -> bool:
    """Whether an answer favours no label.

    That is a text that names none or several or, where there are scores, all of them minus
    infinity, or one not a number.

    Examples
    --------
    >>> from asyndbt.lm import Usage
    >>> is_unparsed(Answer(None, "It depends.", Usage(calls=1)), ["yes", "no"])
    True
    """
    scores = answer.label_log_probabilities
    if scores is None:
        return parse_label(answer.text, label_words) is None
    return not np.max(scores) > -np.inf


def label_distribution(
    answer: Answer, label_words: Sequence[str], mode: Feedback, smoothing: float = 0.1
) -> FloatArray:
    """Log-probabilities of the labels given one answer.

    ``logprobs``: the scores s renormalised over the labels, s - log sum_u exp s_u, no less than
    `LOG_FLOOR`; uniform where `is_unparsed`.
    ``votes``: log((1 - e) v + e / U) with v the share of the votes for a label, which the scores
    are the logarithms of; uniform where `is_unparsed`.
    ``text``: log(1 - e) for the label that the text names and log(e / (U - 1)) for the others;
    uniform where it names none.

    Parameters
    ----------
    answer : Answer
    label_words : sequence of str
        U >= 2 label words, in class order.
    mode : {"logprobs", "votes", "text"}
    smoothing : float
        e, above 0 and below 1 - 1/U; only for ``votes`` and ``text``.

    Returns
    -------
    FloatArray
        (U,) natural logarithms; their exponentials sum to 1.

    Raises
    ------
    ConfigError
        If the answer lacks what the mode needs, or the smoothing is out of range.

    Examples
    --------
    >>> from asyndbt.lm import Usage
    >>> scored = Answer((-2.0, -2.0 - np.log(3)), None, Usage(calls=1))
    >>> np.exp(label_distribution(scored, ["yes", "no"], "logprobs")).round(3)
    array([0.75, 0.25])
    >>> said = Answer(None, "No.", Usage(calls=1))
    >>> np.exp(label_distribution(said, ["yes", "no"], "text")).round(3)
    array([0.1, 0.9])
    """
    return _read(answer, label_words, mode, smoothing)[0]


def _read(
    answer: Answer, label_words: Sequence[str], mode: Feedback, smoothing: float
) -> tuple[FloatArray, bool]:
    """Log-probabilities of the labels, and whether the answer favours any."""
    labels = len(label_words)
    if mode != "text":
        result = _renormalised(answer, labels, mode)
        if mode == "votes" and result is not None:
            result = np.log((1 - smoothing) * np.exp(result) + smoothing / labels)
    elif answer.text is None:
        raise ConfigError(
            "feedback = 'text', but the language model gave scores and no text; "
            "set feedback = 'logprobs'"
        )
    else:
        result = _smoothed(parse_label(answer.text, label_words), labels, smoothing)
    return (np.full(labels, -math.log(labels)), False) if result is None else (result, True)


def _renormalised(answer: Answer, labels: int, mode: Feedback) -> FloatArray | None:
    if answer.label_log_probabilities is None:
        raise ConfigError(
            f"feedback = {mode!r}, but the language model gave text only; set feedback = 'text'"
        )
    scores = np.array(answer.label_log_probabilities, np.float64)
    if scores.shape != (labels,):
        raise ValueError(f"{scores.size} scores for {labels} labels")
    top = scores.max()
    if not top > -np.inf:
        return None
    shifted = scores - top
    result: FloatArray = np.maximum(shifted - np.log(np.exp(shifted).sum()), LOG_FLOOR)
    return result


def _smoothed(label: int | None, labels: int, smoothing: float) -> FloatArray | None:
    if not 0.0 < smoothing < 1.0 - 1.0 / labels:
        raise ConfigError(
            f"smoothing = {smoothing} with {labels} labels does not favour the label that was "
            f"answered; give more than 0 and less than {1.0 - 1.0 / labels:.3g}"
        )
    if label is None:
        return None
    result = np.full(labels, math.log(smoothing / (labels - 1)))
    result[label] = math.log1p(-smoothing)
    return result


def cross_entropy(log_probabilities: FloatArray, gold: int) -> float:
    """Loss of one answer in nats: minus the log-probability of the right label.

    Examples
    --------
    >>> round(cross_entropy(np.log([0.25, 0.75]), 0), 3)
    1.386
    """
    return -float(log_probabilities[gold])


def prediction(log_probabilities: FloatArray) -> int:
    """Index of the most probable label; of equal ones the lowest.

    Examples
    --------
    >>> prediction(np.log([0.2, 0.4, 0.4]))
    1
    """
    return int(np.argmax(log_probabilities))


def losses(
    answers: Sequence[Answer | None],
    gold: Sequence[int],
    label_words: Sequence[str],
    mode: Feedback,
    smoothing: float = 0.1,
    loss: Loss = "cross_entropy",
) -> tuple[FloatArray, int]:
    """Losses of a batch.

    Parameters
    ----------
    answers : sequence of Answer or None
        B answers; None where the request failed.
    gold : sequence of int
        B indices of the right labels.
    label_words, mode, smoothing
        As for `label_distribution`.
    loss : {"cross_entropy", "error"}
        Minus the log-probability of the right label, or that which feedback ``text`` would give
        for an answer with the most probable label: it tells right from wrong and no more.

    Returns
    -------
    losses : FloatArray
        (B,) in nats; NaN where the request failed.
    unparsed : int
        How many answers favour no label (see `is_unparsed`); each costs log U.
    """
    result = np.full(len(answers), np.nan)
    unparsed = 0
    for index, (answer, label) in enumerate(zip(answers, gold, strict=True)):
        if answer is None:
            continue
        distribution, named = _read(answer, label_words, mode, smoothing)
        if loss == "error" and named:
            read = _smoothed(prediction(distribution), len(label_words), smoothing)
            distribution = distribution if read is None else read
        result[index] = cross_entropy(distribution, label)
        unparsed += not named
    return result, unparsed


def correct(
    answers: Sequence[Answer | None],
    gold: Sequence[int],
    label_words: Sequence[str],
    mode: Feedback,
) -> FloatArray:
    """Whether each answer of a batch is right.

    Parameters
    ----------
    answers, gold, label_words, mode
        As for `losses`.

    Returns
    -------
    FloatArray
        (B,) 1.0 where right, 0.0 where wrong or unparsed, NaN where the request failed.
    """
    result = np.full(len(answers), np.nan)
    for index, (answer, label) in enumerate(zip(answers, gold, strict=True)):
        if answer is None:
            continue
        distribution, named = _read(answer, label_words, mode, smoothing=_ANY_SMOOTHING)
        # An unparsed answer is wrong: its uniform distribution must not vote for the first label.
        result[index] = float(named and prediction(distribution) == label)
    return result


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
    >>> from asyndbt.testing import ScriptedLanguageModel
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


# Thai to Burmese, Khmer, kana, Han, Hangul: words follow each other, or carry particles, unspaced.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_IN_WORD: Final = rf"[^\W_{_UNSPACED}]"
_START: Final = rf"(?<!{_IN_WORD})(?<!{_IN_WORD}[-'’])"
_END: Final = rf"(?!{_IN_WORD})(?![-'’]{_IN_WORD})"
_FRAME: Final = re.compile(r"^[\W_]+|[\W_]+$")


def parse_label(text: str | None, label_words: Sequence[str]) -> int | None:
    """Index of the one label word that an answer names, or None.

    Case, quotes, punctuation and markdown do not matter, and the label may stand in a sentence.  It
    must stand as a word of its own: "yes" is not in "yesterday", nor "related" in "un-related".
    Where one label is part of another, the longer one is read.  A label of one letter is read in
    its own case, unless it is the whole answer: "a" is also an article.  Negations are not
    interpreted: "not great" names "great".

    Parameters
    ----------
    text : str or None
        The answer.
    label_words : sequence of str
        U label words, in class order.

    Returns
    -------
    int or None
        None where no label is named, or two different ones.

    Examples
    --------
    >>> parse_label("The answer is: **Great**.", ["terrible", "great"])
    1
    >>> parse_label("Yes, or rather no.", ["yes", "no"]) is None
    True
    """
    if not text:
        return None
    pattern, names = _compiled(tuple(label_words))
    plain = unicodedata.normalize("NFKC", text)
    named = {match.lastgroup for match in pattern.finditer(plain) if match.lastgroup}
    if not named:
        return names.get(_folded(_FRAME.sub("", plain)))
    return int(named.pop().removeprefix("_")) if len(named) == 1 else None


@lru_cache(maxsize=256)
def _compiled(label_words: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, int]]:
    """Pattern with one group per label, longest first; labels by their folded form."""
    plain = [unicodedata.normalize("NFKC", word).strip() for word in label_words]
    names: dict[str, int] = {}
    for index, word in enumerate(plain):
        names.setdefault(_folded(word), index)
    order = sorted(range(len(plain)), key=lambda index: (-len(plain[index]), index))
    groups = (f"(?P<_{index}>{_one(plain[index])})" for index in order)
    return re.compile(f"{_START}(?:{'|'.join(groups)}){_END}"), names


def _one(word: str) -> str:
    """Pattern of one label word."""
    pattern = r"\s+".join(re.escape(part) for part in word.split())
    return pattern if len(word) == 1 else f"(?i:{pattern})"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
