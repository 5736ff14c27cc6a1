"""KATE: the demonstrations nearest to each query.

Source: Liu et al., "What makes good in-context examples for GPT-3?", DeeLIO 2022, arXiv 2101.06804;
as used by Ma et al., Scientific Reports 16:9381 (2026): 5 neighbours.

Steps: embed candidates and query, and show the `neighbours` candidates of the largest cosine,
nearest first.

Departures: the source's encoders are RoBERTa models; the default here is TF-IDF, which needs no
weights, and any model of sentence-transformers may be named. Distance is the cosine throughout,
where the source also has the Euclidean one.

A call is spent on: one validation, for the record only, and the evaluation. Retrieval sends no
request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from asyndbt._text import counted
from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import Predictor, RetrievedPrompts
from asyndbt.errors import ConfigError, DataError
from asyndbt.lm import Prompt
from asyndbt.prompt import TFIDF, Vectors, nearest_rows, render
from asyndbt.task import Example

Order = Literal["nearest-first", "nearest-last"]


@dataclass(frozen=True, slots=True)
class KATE(PerSiteBaseline):
    """Nearest neighbours as demonstrations.

    Parameters
    ----------
    neighbours : int
        Demonstrations of a query.
    encoder : str
        ``tfidf``, or a model of sentence-transformers.
    order : {"nearest-first", "nearest-last"}
        Of the demonstrations; the last one is next to the query.
    """

    neighbours: int = 5
    encoder: str = TFIDF
    order: Order = "nearest-first"
    name: ClassVar[str] = "kate"
    needs_calls: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ConfigError(f"neighbours = {self.neighbours}: give 1 or more")
        if self.order not in ("nearest-first", "nearest-last"):
            raise ConfigError(
                f'order = {self.order!r}: the choices are "nearest-first" and "nearest-last"'
            )

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Embed the candidates."""
        check_fits(site, self.neighbours)
        shelf = site.candidates
        vectors = Vectors(self.encoder, shelf)
        retrieve = retriever(vectors, shelf, self.neighbours, self.order)
        return RetrievedPrompts(site.task, retrieve, shelf), 0


def retriever(
    vectors: Vectors, shelf: Sequence[Example], count: int, order: Order
) -> Callable[[Sequence[Example]], list[list[Example]]]:
    """Return the function from queries to their `count` nearest examples on the shelf."""
    placed = vectors.encode(shelf)

    def retrieve(queries: Sequence[Example]) -> list[list[Example]]:
        if not queries:
            return []
        found = nearest_rows(vectors.encode(queries), placed, count)
        if order == "nearest-last":
            found = found[:, ::-1]
        return [[shelf[index] for index in row] for row in found]

    return retrieve


def check_fits(site: BaselineSite, count: int) -> None:
    """Check, without a request, that the longest prompt with `count` demonstrations fits.

    Raises
    ------
    ConfigError
        If answers are calibrated by content-free queries, which have no neighbours.
    DataError
        If the language model cannot take it.
    """
    if site.objective.calibration == "contextual":
        raise ConfigError(
            'lm.calibration = "contextual" needs a prompt that is the same for every query, and '
            'here each has its own demonstrations: set "batch"'
        )
    model, task = site.objective.gateway.model, site.task

    def size(example: Example) -> int:
        return model.max_usage(Prompt((), render(task, (), (), example.fields).query)).tokens

    shown = sorted(site.candidates, key=size)[-count:]
    query = max(site.prompts.data.queries, key=size)
    try:
        model.check([render(task, shown, (), query.fields)], task.label_words)
    except DataError as error:
        shows = counted(count, "demonstration")
        raise DataError(f"{error}; prompts show {shows}: lower neighbours") from None
