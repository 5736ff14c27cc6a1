"""The draws that an estimator remembers, and what draws have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim._types import Arrays, Evaluations, FloatArray, IntArray, Shape

_UNUSED = -1


@dataclass(frozen=True, slots=True)
class History:
    """The n evaluated draws, oldest first.

    Parameters
    ----------
    words, demonstrations : IntArray
        (n, M) and (n, U) indices drawn.
    queries : IntArray
        (n, B) queries of each draw, padded with -1.
    losses : FloatArray
        (n, B) losses, NaN for failed requests and padding.
    born : IntArray
        (n,) the update that added the draw.
    """

    words: IntArray
    demonstrations: IntArray
    queries: IntArray
    losses: FloatArray
    born: IntArray

    @classmethod
    def empty(cls, shape: Shape) -> History:
        """Return no draws of the given sizes."""
        return cls(
            words=np.empty((0, shape.positions), dtype=np.int64),
            demonstrations=np.empty((0, shape.slots), dtype=np.int64),
            queries=np.empty((0, 0), dtype=np.int64),
            losses=np.empty((0, 0)),
            born=np.empty(0, dtype=np.int64),
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> History:
        """Return the history among an estimator's arrays."""
        own: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(**own)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __len__(self) -> int:
        return int(self.born.size)

    def first_answers(self, evaluations: Evaluations) -> FloatArray:
        """Return the losses (I, B), NaN where the same prompt was asked the same query before.

        Such an answer comes out of a cache: it was known already, from the history or from an
        earlier place in the batch.
        """
        width = evaluations.losses.shape[1]
        queries = np.broadcast_to(evaluations.queries, evaluations.losses.shape)
        drawn = np.hstack([evaluations.words, evaluations.demonstrations])
        before = np.hstack([self.words, self.demonstrations])
        same = matches(drawn, np.concatenate([before, drawn])) == drawn.shape[1]
        asked = _stack(self.queries, queries, _UNUSED).astype(np.int64)
        answered = np.isfinite(_stack(self.losses, evaluations.losses, np.nan))
        rows, places = np.nonzero(answered & same.any(axis=0)[:, None])
        prompts = same.argmax(axis=0)[rows]
        pairs = prompts * (asked.max(initial=0) + 1) + asked[rows, places]
        first = np.unique(pairs, return_index=True)[1]
        new = np.zeros(asked.shape, dtype=bool)
        new[rows[first], places[first]] = True
        return np.where(new[len(self) :, :width], evaluations.losses, np.nan)

    def extended(self, evaluations: Evaluations, update: int, window: int) -> History:
        """Return the history with the draws of `evaluations` that tell something new.

        If these are more than `window` draws, the oldest are forgotten, a quarter of the window at
        once, so that this is rare.
        """
        losses = self.first_answers(evaluations)
        new = np.isfinite(losses).any(axis=1)
        added = int(np.count_nonzero(new))
        kept = len(self) + added
        if kept > window:
            kept = max(window - window // 4, min(added, window))
        queries = np.broadcast_to(evaluations.queries, losses.shape)
        return History(
            np.concatenate([self.words, evaluations.words[new]])[-kept:],
            np.concatenate([self.demonstrations, evaluations.demonstrations[new]])[-kept:],
            _stack(self.queries, queries[new], _UNUSED)[-kept:].astype(np.int64),
            _stack(self.losses, losses[new], np.nan)[-kept:],
            np.concatenate([self.born, np.full(added, update)])[-kept:],
        )

    def answered(self) -> IntArray:
        """Return (n,) numbers of answered queries."""
        counts: IntArray = np.isfinite(self.losses).sum(axis=1)
        return counts

    def mean_losses(self) -> FloatArray:
        """Return (n,) means over the answered queries."""
        means: FloatArray = np.nansum(self.losses, axis=1) / self.answered()
        return means

    def distinct_queries(self) -> int:
        """Return the number of different queries answered."""
        return int(np.unique(self.queries[np.isfinite(self.losses)]).size)

    def query_shares(self, start: int) -> FloatArray:
        """Return (n, Q) shares in each draw's mean loss of the Q queries asked from `start` on."""
        answered = np.isfinite(self.losses)
        labels = np.unique(self.queries[start:][answered[start:]])
        rows, places = np.nonzero(answered & np.isin(self.queries, labels))
        shares = np.zeros((len(self), labels.size))
        columns = np.searchsorted(labels, self.queries[rows, places])
        np.add.at(shares, (rows, columns), 1.0 / self.answered()[rows])
        return shares


def matches(left: IntArray, right: IntArray) -> FloatArray:
    """Return (left, right) numbers of equal columns of two rows."""
    counts = np.zeros((left.shape[0], right.shape[0]), dtype=np.uint16)
    narrow_left, narrow_right = left.astype(np.int32), right.astype(np.int32)
    for column in range(left.shape[1]):
        counts += narrow_left[:, column, None] == narrow_right[None, :, column]
    return counts.astype(np.float64)


def words_present(words: IntArray, vocabulary: int) -> NDArray[np.float32]:
    """Return (n, N) indicators of the words drawn at any position; exact in single precision."""
    # The last column is where `NO_WORD` falls.
    present = np.zeros((words.shape[0], vocabulary + 1), dtype=np.float32)
    present[np.arange(words.shape[0])[:, None], words] = 1.0
    return present[:, :-1]


def one_hot(drawn: IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Return (n, rows * columns) indicators of the columns drawn in every row."""
    rows, columns = shape
    indicators = np.zeros((drawn.shape[0], rows, columns))
    indicators[np.arange(drawn.shape[0])[:, None], np.arange(rows), drawn] = 1.0
    return indicators.reshape(drawn.shape[0], rows * columns)


def gather(drawn: IntArray, weights: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return (rows, columns) ``sum_s weights_s 1{drawn_si = j}``."""
    sums = np.zeros((shape[0], shape[1] + 1))
    np.add.at(sums, (np.arange(shape[0]), drawn), weights[:, None])
    return sums[:, :-1]


def _stack(old: NDArray[np.generic], new: NDArray[np.generic], filler: float) -> FloatArray:
    """Return `new` below `old`, the narrower one padded with `filler`."""
    width = max(old.shape[1], new.shape[1])
    stacked = np.full((old.shape[0] + new.shape[0], width), filler)
    stacked[: old.shape[0], : old.shape[1]] = old
    stacked[old.shape[0] :, : new.shape[1]] = new
    return stacked
