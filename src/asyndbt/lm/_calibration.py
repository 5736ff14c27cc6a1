"""Label bias: what a model says of the labels whatever is asked, and answers without it.

A small model may prefer one label under one prompt and another under the next. Its *prior* under a
prompt is estimated and divided out,

    P'(u | query) = P(u | query) / prior(u)    renormalised over the labels u.

Contextual calibration (Zhao et al., ICML 2021, arXiv 2102.09690) takes the prior from content-free
queries, batch calibration (Zhou et al., ICLR 2024, arXiv 2309.17249) from queries of the task,
whose labels need not be known.

Departure from both: the prior is the geometric mean of probabilities, not the arithmetic one. A
bias that is added to the scores of a label is then taken out exactly, however large it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

import numpy as np

from asyndbt.lm._answers import LOG_FLOOR, FloatArray, Predictions

Calibration = Literal["none", "contextual", "batch"]

CONTENT_FREE: Final = ("N/A", "[MASK]", "")
"""Texts that tell nothing, as in contextual calibration."""


@dataclass(frozen=True, slots=True)
class LabelPrior:
    """What a model says of the labels under a prompt, whatever the query.

    Parameters
    ----------
    log_probabilities : tuple of float
        (U,) natural logarithms, normalised.
    queries : int
        Answers that it was estimated from.

    Examples
    --------
    >>> from asyndbt.lm import Answer, Usage, read_answers
    >>> answers = [Answer(scores, None, Usage(calls=1)) for scores in [(-0.1, -2.3), (-0.5, -0.9)]]
    >>> found = read_answers(answers, ["yes", "no"], "logprobs")
    >>> prior = LabelPrior.of(found)
    >>> found.labels.tolist(), prior.calibrate(found).labels.tolist()
    ([0, 0], [0, 1])
    """

    log_probabilities: tuple[float, ...]
    queries: int = 0

    @classmethod
    def uniform(cls, labels: int) -> Self:
        """Return the prior of U labels of which nothing is known."""
        return cls((-float(np.log(labels)),) * labels)

    @classmethod
    def of(cls, predictions: Predictions) -> Self:
        """Return the geometric mean of all answers that favour a label; uniform if none does."""
        known = predictions.log_probabilities[predictions.parsed]
        if not len(known):
            return cls.uniform(known.shape[1])
        return cls(tuple(_normalised(known.mean(axis=0)).tolist()), len(known))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict`, also of what JSON has made of it."""
        return cls(tuple(map(float, data["log_probabilities"])), int(data["queries"]))

    def pooled(self, other: LabelPrior) -> LabelPrior:
        """Return the prior from the answers of both, each counting once."""
        queries = self.queries + other.queries
        if not queries:
            return self
        logs = np.array([self.log_probabilities, other.log_probabilities])
        mean = np.array([self.queries, other.queries]) @ logs / queries
        return LabelPrior(tuple(_normalised(mean).tolist()), queries)

    def shrunk(self, towards: LabelPrior, pseudo_queries: int) -> LabelPrior:
        """Return the prior with `towards` as that many further answers."""
        return self.pooled(replace(towards, queries=pseudo_queries))

    def calibrate(self, predictions: Predictions) -> Predictions:
        """Divide the prior out of the answers that favour a label; the others stay as they are."""
        rows, known = predictions.log_probabilities.copy(), predictions.parsed
        rows[known] = np.maximum(_normalised(rows[known] - self.log_probabilities), LOG_FLOOR)
        return replace(predictions, log_probabilities=rows)


def _normalised(rows: FloatArray) -> FloatArray:
    result: FloatArray = rows - np.logaddexp.reduce(rows, axis=-1, keepdims=True)
    return result
