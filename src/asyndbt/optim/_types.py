"""Array types and records that the numerics share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
NO_WORD = -1
"""Index of a word in a prompt without a fragment."""
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one worker's problem.

    Parameters
    ----------
    positions, words : int
        M and N; the fragment policy p is (M, N). M = 0 tunes demonstrations only.
    slots, candidates : int
        U and V; the demonstration policy q is (U, V), one row per demonstration of the prompt,
        each over its own candidates. U = 0 tunes the fragment only.
    """

    positions: int
    words: int
    slots: int
    candidates: int


@dataclass(frozen=True, slots=True)
class Evaluations:
    """Losses of several drawn prompts on the same queries.

    Parameters
    ----------
    words, demonstrations : IntArray
        (I, M) words drawn at each position, all of them `NO_WORD` in a prompt without a fragment,
        and (I, U) candidates drawn in each slot.
    queries : IntArray
        (B,) training queries.
    losses : FloatArray
        (I, B) cross-entropies in nats; NaN where the request failed.
    """

    words: IntArray
    demonstrations: IntArray
    queries: IntArray
    losses: FloatArray


@dataclass(frozen=True, slots=True)
class Gradient:
    """Estimated gradients of the expected loss: `p` (M, N) and `q` (U, V), in nats."""

    p: FloatArray
    q: FloatArray


@dataclass(frozen=True, slots=True)
class Effects:
    """Normal beliefs about every word's effect: `mean` (N,), nats, and `precision` (N,).

    The unit of `precision` is that of the prior variances: 1 is the prior precision of a
    demonstration's effect.
    """

    mean: FloatArray
    precision: FloatArray

    @classmethod
    def none(cls) -> Effects:
        """Return beliefs about no words."""
        return cls(np.empty(0), np.empty(0))
