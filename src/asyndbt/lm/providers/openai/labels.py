"""Which label words the beginning of an answer fits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from asyndbt.lm.parsing import parse_label

__all__ = ["Fit", "LabelReader", "same_labels", "shared_bytes"]

_FRAME: Final = re.compile(r"[\W_]*")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Fit:
    """Labels that a text is, or may become; `blank` where there is nothing to read yet."""

    labels: tuple[int, ...]
    blank: bool = False


class LabelReader:
    """Tells which labels a beginning of an answer fits."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._folds = len({_folded(label) for label in labels}) == len(labels)
        self._labels = [self._plain(label).strip() for label in labels]

    def read(self, raw: bytes, ended: bool = False) -> Fit:
        """Fit of an answer that begins so, or that is no more than this.

        Parameters
        ----------
        raw : bytes
            UTF-8, perhaps with an unfinished character at its end.
        ended : bool
        """
        text, tail = _decoded(raw)
        plain = self._plain(text).lstrip()
        frame = _FRAME.match(plain)
        skipped = frame.end() if frame else 0
        # A label may itself begin with a mark, such as "-1": marks are passed over one by one.
        for start in range(skipped + 1):
            form = plain[start:]
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
        return _folded(text) if self._folds else _SPACE.sub(" ", text)


def _names(form: str, label: str) -> bool:
    """Whether a text is a label, with or without something after the end of the word."""
    return form == label or (form.startswith(label) and parse_label(form, [label]) == 0)


def _folded(text: str) -> str:
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold())


def _decoded(raw: bytes) -> tuple[str, bytes]:
    """Text, and the bytes of an unfinished character after it."""
    for cut in range(min(4, len(raw) + 1)):
        whole = raw[: len(raw) - cut]
        try:
            return whole.decode(), raw[len(whole) :]
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace"), b""


def same_labels(labels: Sequence[str]) -> tuple[str, str] | None:
    """Two labels that no answer can tell apart, if there are any.

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
    """Bytes, by label, that its beginning has in common with any other.

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
