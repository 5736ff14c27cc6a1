"""Texts as vectors of length 1, so that the dot product of two is their cosine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.optim import FloatArray, IntArray
from asyndbt.task import Example

__all__ = ["TFIDF", "Vectors", "nearest", "text_of"]

TFIDF = "tfidf"


def text_of(example: Example) -> str:
    """Return an example's texts in the order of its fields, without the label."""
    return " ".join(example.fields.values())


class Vectors:
    """An encoder of texts.

    Parameters
    ----------
    encoder : str
        ``tfidf`` (scikit-learn, extra ``study``), or the name or path of a model that
        sentence-transformers loads (extra ``vectors``).
    corpus : sequence of Example
        What TF-IDF counts words in.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ConfigError
        If the encoder cannot be loaded, in the library's words.

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
        """Return (B, D) vectors of length 1; of length 0 where nothing is known of a text."""
        if not examples:
            return np.zeros((0, 1))
        found = self._model([text_of(example) for example in examples])
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: FloatArray = found / np.where(lengths > 0, lengths, 1.0)
        return unit


def nearest(queries: FloatArray, shelf: FloatArray, count: int) -> IntArray:
    """Return (B, count) indices of the vectors on the shelf nearest to each query by cosine.

    Nearest first; of equals, the first on the shelf.

    Examples
    --------
    >>> nearest(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]]), 2)
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
    # Every run of letters or digits is a word, so that no text of words is without one.
    fitted = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(map(text_of, corpus))
    return lambda texts: fitted.transform(texts).toarray()


def _sentences(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError("sentence-transformers", "vectors") from None
    try:
        model = SentenceTransformer(name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"encoder {name!r} cannot be loaded: {error}") from error
    return lambda texts: np.asarray(
        model.encode(list(texts), show_progress_bar=False), dtype=np.float64
    )
