"""AdaICL: annotate the examples that the model finds hard and that represent others.

Source: Mavromatis et al., "Which examples to annotate for in-context learning? Towards effective
and efficient selection", 2023, arXiv 2310.20046; as used by Ma et al., Scientific Reports 16:9381
(2026).

Steps:

1. Embed all candidates; annotate those nearest to the centres of a k-means clustering.
2. Query the language model on every other candidate, with its nearest annotated ones as
   demonstrations; its uncertainty is the loss of the predicted label or, with text feedback, the
   entropy of the votes over `samples` answers.
3. The hard set is the more uncertain half.
4. Join every candidate to its nearest neighbours by cosine; it covers the hard ones within two
   hops.
5. Annotate greedily what covers most uncovered hard ones. When all are covered and annotations are
   left, return to 2 with the new annotations.
6. Queries are shown their nearest annotated examples.

Departures: the labels of all candidates are known here, but only those annotated are used.
Neighbourhood is mutual: an edge counts both ways. Votes differ by the order of the demonstrations,
not by sampling, so that deterministic models can be uncertain. If the budget does not cover another
scoring, the latest one decides the rest, most uncertain first.

A call is spent on: one candidate's uncertainty (`samples` calls with text); one validation, for the
record only; and the evaluation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._coverage import central, cover, reach
from asyndbt.baselines._kate import Order, check_fits, retriever
from asyndbt.baselines._predictors import Predictor, RetrievedPrompts
from asyndbt.errors import BudgetError, ConfigError
from asyndbt.lm import LabelPrior
from asyndbt.optim import FloatArray, IntArray
from asyndbt.prompt import TFIDF, Vectors, render
from asyndbt.task import Example


@dataclass(frozen=True, slots=True)
class AdaICL(PerSiteBaseline):
    """Adaptive annotation.

    Parameters
    ----------
    annotations, start : int
        Candidates that are annotated in all, and those of them that k-means chooses.
    neighbours : int
        Demonstrations of a query.
    links : int
        Nearest neighbours that a candidate is joined to.
    hard_share : float
        Share of the candidates not annotated that counts as hard.
    samples : int
        Answers that vote where there are no log-probabilities.
    encoder : str
        ``tfidf``, or a model of sentence-transformers.
    order : {"nearest-first", "nearest-last"}
        Of the demonstrations.
    """

    annotations: int = 20
    start: int = 5
    neighbours: int = 5
    links: int = 5
    hard_share: float = 0.5
    samples: int = 5
    encoder: str = TFIDF
    order: Order = "nearest-first"
    name: ClassVar[str] = "adaicl"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.annotations:
            raise ConfigError(
                f"start = {self.start}, annotations = {self.annotations}: give 1 <= start <= "
                "annotations"
            )

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Annotate candidates."""
        check_fits(site, self.neighbours)
        shelf = site.candidates
        vectors = Vectors(self.encoder, shelf)
        chosen, scorings = await self._annotate(site, shelf, vectors)
        annotated = tuple(shelf[index] for index in chosen)
        retrieve = retriever(vectors, annotated, self.neighbours, self.order)
        return RetrievedPrompts(site.task, retrieve, annotated), scorings

    async def _annotate(
        self, site: BaselineSite, shelf: Sequence[Example], vectors: Vectors
    ) -> tuple[list[int], int]:
        """Return the indices of the annotated candidates, in order, and the number of scorings."""
        placed = vectors.encode(shelf)
        wanted = min(self.annotations, len(shelf))
        near = reach(placed, self.links)
        chosen = central(placed, min(self.start, wanted), site.integer("centres"))
        last, scorings = np.zeros(len(shelf)), 0
        while len(chosen) < wanted:
            rest = [index for index in range(len(shelf)) if index not in chosen]
            try:
                last[rest] = await self._uncertainties(site, shelf, vectors, chosen, rest)
            except BudgetError:
                chosen += sorted(rest, key=lambda k: (-last[k], k))[: wanted - len(chosen)]
                break
            scorings += 1
            site.note(scorings)
            hard = np.zeros(len(shelf), dtype=np.bool_)
            by_rank = sorted(rest, key=lambda k: (-last[k], k))
            hard[by_rank[: max(1, round(self.hard_share * len(rest)))]] = True
            chosen += cover(near, hard, chosen, wanted - len(chosen))
            await asyncio.sleep(0)  # the sites take turns
        return chosen, scorings

    async def _uncertainties(
        self,
        site: BaselineSite,
        shelf: Sequence[Example],
        vectors: Vectors,
        annotated: Sequence[int],
        asked: Sequence[int],
    ) -> FloatArray:
        """Return the model's uncertainty on each candidate asked about, nats.

        Raises
        ------
        BudgetError
            Before any request, if the budget for tuning does not cover them.
        """
        objective = site.objective
        queries = [shelf[index] for index in asked]
        known = [shelf[index] for index in annotated]
        shown = retriever(vectors, known, self.neighbours, self.order)(queries)
        votes = self.samples if objective.feedback == "text" else 1
        orders = [_order(len(shown[0]), vote) for vote in range(votes)]
        batch = [
            render(site.task, [each[k] for k in order], (), query.fields)
            for order in orders
            for each, query in zip(shown, queries, strict=True)
        ]
        words = site.task.label_words
        if not objective.gateway.budget.affords(objective.gateway.estimate(batch, words)):
            raise BudgetError("the budget for tuning does not cover another scoring")
        found = await objective.gateway.predict(
            batch, words, objective.feedback, objective.smoothing
        )
        if votes > 1:
            by_query = found.labels.reshape(votes, len(queries)).T
            return np.array([_vote_entropy(named) for named in by_query])
        if objective.calibration == "batch":
            found = LabelPrior.of(found).calibrate(found)
        # The loss of the label that an answer predicts; the most there is without an answer.
        losses: FloatArray = -found.log_probabilities.max(axis=1)
        losses[~found.answered] = np.log(len(words))
        return losses


def _order(count: int, vote: int) -> list[int]:
    """Return an order of the demonstrations: rotated by one from vote to vote, later mirrored."""
    turned = [(place + vote) % count for place in range(count)]
    return turned[::-1] if vote // count % 2 else turned


def _vote_entropy(named: IntArray) -> float:
    """Entropy of the votes, nats; an answer that names no label votes -1."""
    shares = np.unique(named, return_counts=True)[1] / len(named)
    return -float((shares * np.log(shares)).sum())
