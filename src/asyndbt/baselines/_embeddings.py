"""Texts as unit vectors, whose dot product is the cosine, and the choice of representative ones.

The choices are the steps of AdaICL without a language model: centres of clusters, a graph of
neighbours, a greedy cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.optim import FloatArray, IntArray
from asyndbt.task import Example

TFIDF = "tfidf"


def text_of(example: Example) -> str:
    """Return an example's texts in the order of its fields."""
    return " ".join(example.fields.values())


class Vectors:
    """An encoder of texts.

    Parameters
    ----------
    encoder : str
        ``tfidf`` (scikit-learn, extra ``study``), or the name or path of a model that
        sentence-transformers loads (extra ``vectors``).
    corpus : sequence of Example
        Texts that TF-IDF is fitted to.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ConfigError
        If the encoder cannot be loaded.

    Examples
    --------
    >>> shelf = [Example({"a": text}, "1") for text in ("red fox", "blue whale")]
    >>> vectors = Vectors("tfidf", shelf)
    >>> (vectors.encode([Example({"a": "a red car"}, "0")]) @ vectors.encode(shelf).T).round(2)
    array([[0.71, 0.  ]])
    """

    def __init__(self, encoder: str, corpus: Sequence[Example]) -> None:
        self._model = _tfidf(corpus) if encoder == TFIDF else _sentences(encoder)

    def encode(self, examples: Sequence[Example]) -> FloatArray:
        """Return (B, D) vectors of length 1; of length 0 for texts of unknown words."""
        if not examples:
            return np.zeros((0, 1))
        found = self._model([text_of(example) for example in examples])
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: FloatArray = found / np.where(lengths > 0, lengths, 1.0)
        return unit


def nearest_rows(queries: FloatArray, shelf: FloatArray, count: int) -> IntArray:
    """Return (B, count) indices of the shelf's vectors nearest to each query by cosine.

    Nearest first; ties go to the first on the shelf.

    Examples
    --------
    >>> nearest_rows(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]]), 2)
    array([[1, 2]])
    """
    # Rounded, so that equals are equals whatever the order of additions.
    order = np.argsort(-(queries @ shelf.T).round(9), axis=1, kind="stable")
    return order[:, :count]


def _tfidf(corpus: Sequence[Example]) -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise MissingExtraError("scikit-learn", "study") from None
    # Single letters count as words, unlike in the default pattern.
    fitted = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(map(text_of, corpus))
    return lambda texts: fitted.transform(texts).toarray()


def _sentences(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError("sentence-transformers", "vectors") from None
    try:
        model = SentenceTransformer(
            name, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"encoder {name!r} cannot be loaded: {error}") from error
    return lambda texts: np.asarray(
        model.encode(list(texts), show_progress_bar=False), dtype=np.float64
    )


BoolArray = NDArray[np.bool_]


def central(placed: FloatArray, count: int, seed: int) -> list[int]:
    """Return the vectors nearest to the centres of a k-means clustering, each once.

    `placed` is (V, D). There are fewer than `count` centres if fewer vectors are distinct.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtraError("scikit-learn", "study") from None
    # Equal vectors have no centres of their own.
    distinct = len(np.unique(placed.round(9), axis=0))
    centres = (
        KMeans(min(count, distinct), n_init=10, random_state=seed).fit(placed).cluster_centers_
    )
    chosen: list[int] = []
    for centre in centres:
        distances = np.linalg.norm(placed - centre, axis=1).round(9)
        distances[chosen] = np.inf
        chosen.append(int(np.argmin(distances)))
    return chosen


def reach(placed: FloatArray, links: int) -> BoolArray:
    """Return the (V, V) matrix of pairs within two hops, oneself included.

    Every row of `placed`, (V, D) of length 1, is joined to its `links` nearest ones, both ways.

    Examples
    --------
    >>> line = np.array([[np.cos(a), np.sin(a)] for a in (0.0, 0.1, 0.25, 0.45)])
    >>> reach(line, 1).astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 1],
           [1, 1, 1, 1],
           [0, 1, 1, 1]])
    """
    size = len(placed)
    joined = np.eye(size, dtype=np.bool_)
    similarity = (placed @ placed.T).round(9)
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : min(links, size - 1)]
    joined[np.arange(size)[:, None], order] = True
    joined |= joined.T
    two: BoolArray = (joined.astype(np.int64) @ joined.astype(np.int64)) > 0
    return two


def cover(near: BoolArray, hard: BoolArray, taken: Sequence[int], most: int) -> list[int]:
    """Choose greedily what covers most of the hard set; ties go to the first.

    Parameters
    ----------
    near : BoolArray
        (V, V), whether the row covers the column.
    hard : BoolArray
        (V,), the hard set.
    taken : sequence of int
        Annotated before: not chosen again, and they cover nothing here.
    most : int
        Most choices, at least 1; fewer if they cover the hard set.
    """
    open_ones, free = hard.copy(), np.ones(hard.size, dtype=np.bool_)
    free[list(taken)] = False
    chosen: list[int] = []
    while open_ones.any() and len(chosen) < most:
        gains = np.where(free, (near & open_ones).sum(axis=1), -1)
        best = int(np.argmax(gains))
        chosen.append(best)
        free[best] = False
        open_ones &= ~near[best]
    return chosen
