"""From replies to answers: scores of label words out of tokens and their alternatives."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from asyndbt._spelling import plain_signs
from asyndbt.errors import TransientError
from asyndbt.lm._base import Answer, Feedback, Usage
from asyndbt.lm._label_parsing import begins_with_label, parse_label
from asyndbt.lm.providers.openai._errors import PROVIDER
from asyndbt.lm.providers.openai._replies import Completion, Token

_LEAST_ROOM: Final = 1e-9
"""Precision of what a list of rounded probabilities leaves of 1."""


def label_log_probabilities(tokens: Sequence[Token], labels: Sequence[str]) -> tuple[float, ...]:
    r"""Natural log-probabilities of label words by the tokens of one answer and their alternatives.

    The score of a label is the log of the summed probability of everything seen that starts it.
    The answer is read token by token.  What was generated so far together with one alternative is
    the start of one label, of several, or of none:

    * of one: the alternative's probability, times that of the tokens before it, is that label's;
    * of several: the answer's own token is read on; any other alternative is divided equally among
      them, for one request does not show how it would have gone on;
    * none of either: lost.

    White space, quotes and marks before the label are skipped, and an alternative of nothing else
    counts for none.  Case does not matter, unless two labels differ in nothing else.

    A label that no alternative starts is less probable than the least alternative listed, and than
    what the list leaves of 1.  The lesser of the two, at the last token where the answer might
    still have become this label, divided among the labels missing there, is its score.

    The scores are not renormalised: their exponentials sum to 1 at most.  All are minus infinity
    where nothing starts any label.

    Examples
    --------
    >>> great, bad = (b"great", math.log(0.75)), (b"terr", math.log(0.25))
    >>> scores = label_log_probabilities([Token(*great, (great, bad))], ["terrible", "great"])
    >>> [round(math.exp(score), 3) for score in scores]
    [0.25, 0.75]
    """
    reader = LabelReader(labels)
    mass = [0.0] * len(labels)
    rooms: dict[int, float] = {}
    last: dict[int, int] = {}
    path, reach, fit = b"", 1.0, reader.read(b"")
    for index, token in enumerate(tokens):
        ended = not token.piece and not token.alternatives
        if ended or not (fit.blank or len(fit.labels) > 1):
            break
        listed = _probabilities(token)
        rooms[index] = reach * _room(token)
        last |= dict.fromkeys(range(len(labels)) if fit.blank else fit.labels, index)
        for piece, probability in listed.items():
            if piece != token.piece:
                _share(mass, reader.read(path + piece, ended=not piece), reach * probability)
        path, reach = path + token.piece, reach * listed[token.piece]
        fit = reader.read(path)
    _share(mass, reader.read(path, ended=True), reach)
    return _logs(mass, last, rooms)


def _probabilities(token: Token) -> dict[bytes, float]:
    """Probabilities by text: tokens of equal text are added, but the answer's own counts once."""
    own = math.exp(token.log_probability)
    listed = {token.piece: own}
    for piece, log_probability in token.alternatives:
        probability = math.exp(log_probability)
        if piece == token.piece:
            listed[piece] = max(listed[piece], probability)
        else:
            listed[piece] = listed.get(piece, 0.0) + probability
    return listed


def _room(token: Token) -> float:
    """Upper bound of the probability of an unlisted alternative."""
    seen = [math.exp(log_probability) for _, log_probability in token.alternatives]
    least = min((probability for probability in seen if probability > 0.0), default=1.0)
    return min(least, max(1.0 - math.fsum(_probabilities(token).values()), _LEAST_ROOM))


def _share(mass: list[float], fit: Fit, probability: float) -> None:
    for label in fit.labels:
        mass[label] += probability / len(fit.labels)


def _logs(
    mass: Sequence[float], last: dict[int, int], rooms: dict[int, float]
) -> tuple[float, ...]:
    if not any(mass):
        return (-math.inf,) * len(mass)
    missing = [last[label] for label, probability in enumerate(mass) if not probability]
    bounded = (
        probability or rooms[last[label]] / missing.count(last[label])
        for label, probability in enumerate(mass)
    )
    return tuple(math.log(value) if value > 0.0 else -math.inf for value in bounded)


def tokens_to_tell(tokens: Sequence[Token], labels: Sequence[str]) -> tuple[int, int | None]:
    """Count the tokens before the label, and those from there until one label is left.

    One more is counted if the answer ends before; None if it begins no label.

    Examples
    --------
    >>> tokens = [Token(piece, 0.0, ()) for piece in (b"**", b"un", b"related")]
    >>> tokens_to_tell(tokens, ["unlike", "unrelated"])
    (1, 2)
    """
    reader, path, blank = LabelReader(labels), b"", 0
    for number, token in enumerate(tokens, start=1):
        path += token.piece
        fit = reader.read(path)
        if fit.blank:
            blank = number
        elif len(fit.labels) <= 1:
            return blank, number - blank if fit.labels else None
    return blank, len(tokens) - blank + 1 if reader.read(path).labels else None


def vote_log_probabilities(texts: Sequence[str], labels: Sequence[str]) -> tuple[float, ...]:
    """Log of each label's share of the answers that name one.

    Examples
    --------
    >>> votes = vote_log_probabilities(["yes", "Yes.", "no", "what?"], ["yes", "no", "maybe"])
    >>> [round(math.exp(vote), 3) for vote in votes]
    [0.667, 0.333, 0.0]
    """
    named = [parse_label(text, labels) for text in texts]
    parsed = sum(label is not None for label in named)
    counts = [named.count(label) for label in range(len(labels))]
    return tuple(math.log(count / parsed) if count else -math.inf for count in counts)


def answer_of(
    reply: Completion, usage: Usage, feedback: Feedback, labels: Sequence[str], opened: bool
) -> Answer:
    """Read a reply, with one choice at least, as the feedback requires.

    With `opened`, what was cut off before a thought ended is no answer.  Raises TransientError if
    scores are required and the reply has no log-probabilities.
    """
    choices = [choice for choice in reply.choices if not choice.filtered]
    if not choices:
        return Answer(None, None, usage, refusal="content filter")
    texts = [
        "" if opened and choice.cut and not choice.thought.closed else choice.text
        for choice in choices
    ]
    if feedback == "votes":
        votes = vote_log_probabilities(texts, labels)
        return Answer(votes, None if max(votes) > -math.inf else texts[0], usage)
    text, tokens = texts[0], choices[0].tokens or ()
    if feedback == "text":
        return Answer(None, text, usage)
    if text.strip() and not any(token.alternatives for token in tokens):
        raise TransientError(
            'a reply came without log-probabilities; if all do, set lm.feedback = "text"',
            provider=PROVIDER,
            status=200,
            kind="no log-probabilities",
            charged=True,
        )
    return Answer(label_log_probabilities(tokens if text else (), labels), text, usage)


_FRAME: Final = re.compile(r"[\W_]*")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Fit:
    """Labels that a text is or may become; `blank` if there is nothing to read yet."""

    labels: tuple[int, ...]
    blank: bool = False


class LabelReader:
    """Matches the beginning of an answer with labels."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._folds = len({_folded(label) for label in labels}) == len(labels)
        self._labels = [self._plain(label).strip() for label in labels]

    def read(self, raw: bytes, ended: bool = False) -> Fit:
        """Match the beginning of an answer, or a whole one if it has ended.

        `raw` is UTF-8, perhaps with an incomplete character at its end.
        """
        text, tail = _decoded(raw)
        plain = self._plain(text).lstrip()
        frame = _FRAME.match(plain)
        skipped = frame.end() if frame else 0
        # A label may itself begin with a mark, such as "-1": marks are skipped one by one.
        for start in range(skipped + 1):
            form = plain[start:]
            if plain[:start].endswith("-") and form[:1].isdigit():
                # The sign of a number is part of it.
                continue
            if (form or tail) and (fitting := self._fitting(form, tail, ended)):
                return Fit(fitting)
        return Fit((), blank=len(plain) == skipped and not tail)

    def _fitting(self, form: str, tail: bytes, ended: bool) -> tuple[int, ...]:
        begun = form.encode() + tail
        is_open = [
            index
            for index, label in enumerate(self._labels)
            if label.encode().startswith(begun) and label != form
        ]
        done = [] if tail else [i for i, label in enumerate(self._labels) if _names(form, label)]
        complete = sorted(done, key=lambda index: -len(self._labels[index]))[:1]
        return tuple(complete if ended and complete else is_open + complete)

    def _plain(self, text: str) -> str:
        return _folded(text) if self._folds else _spelled(text)


def _names(form: str, label: str) -> bool:
    """Whether a text begins with a label as a whole word."""
    return form == label or (form.startswith(label) and begins_with_label(form, label))


def _spelled(text: str) -> str:
    return _SPACE.sub(" ", plain_signs(text).replace("\u2013", "-"))


def _folded(text: str) -> str:
    return _spelled(text).casefold()


def _decoded(raw: bytes) -> tuple[str, bytes]:
    """Text, and the bytes of an incomplete character after it."""
    for cut in range(min(4, len(raw) + 1)):
        whole = raw[: len(raw) - cut]
        try:
            return whole.decode(), raw[len(whole) :]
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace"), b""


def same_labels(labels: Sequence[str]) -> tuple[str, str] | None:
    """Return two labels that no answer can tell apart, or None.

    Examples
    --------
    >>> same_labels(["Yes", "no", "yes "])
    ('Yes', 'yes ')
    """
    pairs = combinations(labels, 2)
    return next(
        (pair for pair in pairs if _folded(pair[0]).strip() == _folded(pair[1]).strip()), None
    )


def shared_bytes(labels: Sequence[str]) -> list[int]:
    """Length in bytes, by label, of the longest prefix shared with another label.

    Examples
    --------
    >>> shared_bytes(["great", "greatest", "bad"])
    [5, 5, 0]
    """
    raws = [_folded(label).strip().encode() for label in labels]
    return [
        max((_common(one, other) for j, other in enumerate(raws) if j != i), default=0)
        for i, one in enumerate(raws)
    ]


def _common(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
