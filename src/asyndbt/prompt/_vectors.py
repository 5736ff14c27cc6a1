"""Texts as unit vectors, whose dot product is the cosine, and the nearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from asyndbt.errors import ConfigError, DataError, MissingExtraError
from asyndbt.optim import FloatArray, IntArray
from asyndbt.task import Example

TFIDF: Final = "tfidf"


def text_of(example: Example) -> str:
    """Return an example's texts in the order of its fields."""
    return " ".join(example.fields.values())


class Vectors:
    """An encoder of texts.

    Parameters
    ----------
    encoder : str
        ``tfidf`` (scikit-learn, extra ``sklearn``), or the name or path of a model that
        sentence-transformers loads (extra ``vectors``).
    corpus : sequence of Example
        Texts that TF-IDF is fitted to.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ConfigError
        If the encoder cannot be loaded.
    DataError
        If TF-IDF is fitted to texts without a word.

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
        raise MissingExtraError("scikit-learn", "sklearn") from None
    # Single letters count as words, unlike in the default pattern.
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")
    try:
        fitted = vectorizer.fit(map(text_of, corpus))
    except ValueError:
        raise DataError(
            "TF-IDF compares words, and no example to choose from has one: use a model of "
            "sentence-transformers"
        ) from None
    return lambda texts: fitted.transform(texts).toarray()


@lru_cache(maxsize=2)  # all sites and shelves share the weights
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
