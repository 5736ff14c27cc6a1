"""Reading answers: from what a model said to label distributions, losses and judgements.

Every answer is read once, by the feedback that the settings name. The kinds of feedback are never
mixed: an answer without what its kind needs is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import ConfigError, DataError
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt
from asyndbt.lm._label_parsing import parse_label

Loss = Literal["cross_entropy", "error", "expected_error"]
Parse = Callable[[str, Sequence[str]], int | None]
FloatArray = NDArray[np.float64]
Costs = Sequence[Sequence[float]]

LOG_FLOOR: Final = math.log(1e-12)
"""Least log-probability of a label, so that a label that the model rules out costs 27.6 nats."""


def find_loss(loss: Loss | Literal["auto"], calibration: str) -> Loss:
    """Return the loss that a setting means, "auto" the expected error if answers are calibrated.

    Only without the model's bias do its probabilities say how nearly an answer was right.
    """
    if loss != "auto":
        return loss
    return "error" if calibration == "none" else "expected_error"


@dataclass(frozen=True, slots=True)
class Judgements:
    """Loss and correctness of B answers; NaN where the request failed.

    With labels the loss is in nats, and an answer is correct (1.0) or not (0.0); an unparsed one is
    not. With a reward, the loss is 1 minus it, and `correct` the reward itself.
    """

    loss: FloatArray
    correct: FloatArray


class ReadAnswers(Protocol):
    """B answers that were read, to be compared with what is expected."""

    def __len__(self) -> int:
        """Return B."""

    def __getitem__(self, rows: slice) -> Self:
        """Return some of the answers."""

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Where the request did not fail (B,)."""

    def judge(
        self, gold: Sequence[int], loss: Loss = "cross_entropy", costs: Costs = ()
    ) -> Judgements:
        """Judge the answers to examples of these classes, B indices."""


@dataclass(frozen=True, slots=True)
class RewardedAnswers:
    """Rewards in [0, 1] of B answers in words, NaN where the request failed.

    Examples
    --------
    >>> judged = RewardedAnswers(np.array([0.25, np.nan])).judge([0, 0])
    >>> judged.loss.tolist(), judged.correct.tolist()
    ([0.75, nan], [0.25, nan])
    """

    rewards: FloatArray

    def __len__(self) -> int:
        """Return B."""
        return len(self.rewards)

    def __getitem__(self, rows: slice) -> RewardedAnswers:
        """Return some of the answers."""
        return RewardedAnswers(self.rewards[rows])

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Where the request did not fail (B,)."""
        return ~np.isnan(self.rewards)

    def judge(
        self, gold: Sequence[int], loss: Loss = "cross_entropy", costs: Costs = ()
    ) -> Judgements:
        """Return the rewards, and 1 minus them as losses, whatever the loss is for labels."""
        return Judgements(1.0 - self.rewards, self.rewards)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Distributions over U labels in B answers.

    Parameters
    ----------
    log_probabilities : FloatArray
        (B, U) natural logarithms, normalised; uniform where no label is favoured, NaN where the
        request failed.
    parsed : NDArray of bool
        (B,) whether an answer favours a label.
    smoothing : float
        e of `read_answers`.
    """

    log_probabilities: FloatArray
    parsed: NDArray[np.bool_]
    smoothing: float

    def __len__(self) -> int:
        """Return B."""
        return len(self.parsed)

    def __getitem__(self, rows: slice) -> Predictions:
        """Return some of the answers."""
        return Predictions(self.log_probabilities[rows], self.parsed[rows], self.smoothing)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Where the request did not fail (B,)."""
        return ~np.isnan(self.log_probabilities[:, 0])

    @property
    def unparsed(self) -> int:
        """Number of answers that favour no label."""
        return int((self.answered & ~self.parsed).sum())

    @property
    def labels(self) -> NDArray[np.int64]:
        """Index of the most probable label (B,), of equal ones the lowest; -1 where unparsed."""
        # Without a label the uniform distribution must not vote for the first.
        return np.where(self.parsed, np.argmax(self.log_probabilities, axis=1), -1)

    def judge(
        self, gold: Sequence[int], loss: Loss = "cross_entropy", costs: Costs = ()
    ) -> Judgements:
        """Compare with the right labels, B indices.

        The loss is minus the log-probability of the right label; with ``error``, that of feedback
        ``text`` for an answer with the most probable label, which depends on right or wrong only;
        with ``expected_error``, the mean of that loss over answers drawn from the distribution.

        With costs (U, U), by right label and answered one, the loss is the cost of the most
        probable label, or with ``expected_error`` the mean cost of answers drawn from the
        distribution; an answer that favours no label costs as much as the worst one.

        Raises
        ------
        ConfigError
            If the loss is not ``cross_entropy`` and the smoothing out of range, or it is, and there
            are costs.

        Examples
        --------
        >>> from asyndbt.lm import Usage
        >>> answers = [Answer((-0.1, -2.3), None, Usage(calls=1)), None]
        >>> judged = read_answers(answers, ["yes", "no"], "logprobs").judge([0, 0])
        >>> judged.loss.round(3).tolist(), judged.correct.tolist()
        ([0.105, nan], [1.0, nan])
        """
        rows, labels = self.log_probabilities.copy(), self.labels
        correct = np.where(self.answered, labels == np.asarray(gold, np.int64), np.nan)
        if costs:
            return Judgements(self._costs(gold, loss, costs), correct)
        if loss == "error":
            for index in np.flatnonzero(self.parsed):
                rows[index] = _smoothed(labels[index], rows.shape[1], self.smoothing)
        losses = np.array([-row[label] for row, label in zip(rows, gold, strict=True)], np.float64)
        if loss == "expected_error":
            right, wrong = -_smoothed(0, rows.shape[1], self.smoothing)[:2]
            losses = wrong - (wrong - right) * np.exp(-losses)
        return Judgements(losses, correct)

    def _costs(self, gold: Sequence[int], loss: Loss, costs: Costs) -> FloatArray:
        if loss == "cross_entropy":
            raise ConfigError(
                "loss = 'cross_entropy' knows no costs: set 'error' or 'expected_error'"
            )
        each = np.array(costs, np.float64)[np.asarray(gold, np.int64)]
        if loss == "error":
            answered = each[np.arange(len(each)), self.labels]
        else:
            answered = (np.exp(self.log_probabilities) * each).sum(axis=1)
        silent = np.where(self.answered, each.max(axis=1), np.nan)
        found: FloatArray = np.where(self.parsed, answered, silent)
        return found


def read_answers(
    answers: Sequence[Answer | None],
    label_words: Sequence[str],
    feedback: Feedback,
    smoothing: float = 0.1,
    parse: Parse = parse_label,
) -> Predictions:
    """Read the log-probabilities of the labels out of answers.

    ``logprobs``: the scores s renormalised over the labels, s - log sum_u exp s_u, no less than
    `LOG_FLOOR`. ``votes``: log((1 - e) v + e / U) with v the exponential of a score, a label's
    share of the votes. ``text``: log(1 - e) for the label that the text names and log(e / (U - 1))
    for the others.

    Parameters
    ----------
    answers : sequence of Answer or None
        B answers; None where the request failed.
    label_words : sequence of str
        U >= 2 label words, in class order.
    feedback : {"logprobs", "votes", "text"}
    smoothing : float
        e, above 0 and below 1 - 1/U; only for ``votes`` and ``text``.
    parse : callable, optional
        Index of the label that a text names, or None.

    Raises
    ------
    ConfigError
        If an answer lacks what the feedback needs, or the smoothing is out of range.

    Examples
    --------
    >>> from asyndbt.lm import Usage
    >>> scored = Answer((-2.0, -2.0 - np.log(3)), None, Usage(calls=1))
    >>> np.exp(read_answers([scored], ["yes", "no"], "logprobs").log_probabilities).round(3)
    array([[0.75, 0.25]])
    >>> said = [Answer(None, text, Usage(calls=1)) for text in ("No.", "It depends.")]
    >>> found = read_answers(said, ["yes", "no"], "text")
    >>> np.exp(found.log_probabilities).round(3).tolist(), found.labels.tolist()
    ([[0.1, 0.9], [0.5, 0.5]], [1, -1])
    """
    rows = np.full((len(answers), len(label_words)), np.nan)
    parsed = np.zeros(len(answers), np.bool_)
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        if feedback == "text":
            row = _named(answer, label_words, smoothing, parse)
        else:
            row = _scored(answer, len(label_words), feedback, smoothing)
        parsed[index] = row is not None
        rows[index] = -math.log(len(label_words)) if row is None else row
    return Predictions(rows, parsed, smoothing)


def is_unparsed(answer: Answer, label_words: Sequence[str], parse: Parse = parse_label) -> bool:
    """Whether an answer favours no label, whatever the feedback; without labels, if it is blank.

    A text favours none if it names none or several; scores, if all are minus infinity or one is
    NaN.

    Examples
    --------
    >>> from asyndbt.lm import Usage
    >>> is_unparsed(Answer(None, "It depends.", Usage(calls=1)), ["yes", "no"])
    True
    """
    scores = answer.label_log_probabilities
    if not label_words:
        return not (answer.text or "").strip()
    if scores is None:
        return answer.text is None or parse(answer.text, label_words) is None
    return not np.max(scores) > -np.inf


def _scored(answer: Answer, labels: int, feedback: Feedback, smoothing: float) -> FloatArray | None:
    if answer.label_log_probabilities is None:
        raise ConfigError(
            f"feedback = {feedback!r}, but the language model gave text only; set feedback = 'text'"
        )
    scores = np.array(answer.label_log_probabilities, np.float64)
    if scores.shape != (labels,):
        raise ValueError(f"{scores.size} scores for {labels} labels")
    top = scores.max()
    if not top > -np.inf:
        return None
    shifted = scores - top
    result: FloatArray = np.maximum(shifted - np.log(np.exp(shifted).sum()), LOG_FLOOR)
    if feedback == "votes":
        result = np.log((1 - smoothing) * np.exp(result) + smoothing / labels)
    return result


def _named(
    answer: Answer,
    label_words: Sequence[str],
    smoothing: float,
    parse: Parse,
) -> FloatArray | None:
    if answer.text is None:
        raise ConfigError(
            "feedback = 'text', but the language model gave scores and no text; "
            "set feedback = 'logprobs'"
        )
    label = parse(answer.text, label_words)
    row = _smoothed(0 if label is None else label, len(label_words), smoothing)
    return None if label is None else row


def _smoothed(label: int, labels: int, smoothing: float) -> FloatArray:
    if not 0.0 < smoothing < 1.0 - 1.0 / labels:
        raise ConfigError(
            f"smoothing = {smoothing} with {labels} labels does not favour the label that was "
            f"answered; give more than 0 and less than {1.0 - 1.0 / labels:.3g}"
        )
    result = np.full(labels, math.log(smoothing / (labels - 1)))
    result[label] = math.log1p(-smoothing)
    return result


def check_requests(
    model: LanguageModel, labels: Sequence[str], prompts: Sequence[Prompt] = ()
) -> None:
    """Check labels in class order and prompts, including the longest, without a request.

    Raises
    ------
    DataError
        If there is one label alone, an answer could not tell two of them apart, the model
        cannot, or a prompt is too long for it.

    Examples
    --------
    >>> from asyndbt.testing import ScriptedLanguageModel
    >>> check_requests(ScriptedLanguageModel({}), ["Yes", "yes"])
    Traceback (most recent call last):
    asyndbt.errors.DataError: labels 'Yes' and 'yes' read the same; use different words
    """
    if len(labels) == 1:
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
