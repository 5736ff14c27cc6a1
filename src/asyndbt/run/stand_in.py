"""What plays the language model when a run is played through: nobody is asked, nothing is paid.

The first prompts of a site go the whole way through its gateway.  Of the later ones it is only
counted which are new, by what was drawn for them, and a few of every step are rendered to tell what
the others cost.  So policies, budgets and repeats are played to the end of a long run too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from asyndbt.federation import PromptObjective
from asyndbt.federation.messages import Spent
from asyndbt.lm import Answer, LanguageModel, Probe, Prompt, Usage
from asyndbt.optim import FloatArray, IntArray

__all__ = ["ChanceObjective", "StandIn"]

_MARGIN: Final = 1.3
_EFFECT: Final = 0.045
_CHANCE: Final = 0.15
"""Standard deviations, in the logarithm of a loss, of a word's effect and of what depends on the
query: such that the policies of the demo tasks settle as fast as with the real losses."""
_WHOLE: Final = 2_000
"""Prompts of a site that go the whole way."""
_SAMPLE: Final = 4
"""Prompts of a later step that are rendered."""

_Drawn = tuple[IntArray, IntArray, int]
"""Words, demonstrations and query of a prompt."""


class StandIn:
    """Answers for nothing, and costs what a real model would.

    Parameters
    ----------
    model : LanguageModel
    batch : int
        Prompts that go together.

    Attributes
    ----------
    rounds : int
        Batches so far.
    spent : Usage
        What the answers so far would have cost.
    """

    def __init__(self, model: LanguageModel, batch: int) -> None:
        self._model = model
        self.batch = batch
        self.name = f"stand-in for {model.name}"
        self.metered = False
        self.priced = model.priced
        self.expect = model.expect
        self.check, self.adopt, self.close = model.check, model.adopt, model.close
        self.rounds = 0
        self.spent = Usage()

    def estimate(self, prompt: Prompt) -> Usage:
        """Bound what a request costs as the real one will when it has been probed."""
        if not self._model.metered:
            return self._model.estimate(prompt)
        bound, likely = self._model.estimate(prompt), self.expect(prompt)
        return Usage(
            1,
            min(bound.tokens_in, round(_MARGIN * likely.tokens_in)),
            min(bound.tokens_out, round(_MARGIN * likely.tokens_out)),
            min(bound.money, _MARGIN * likely.money),
        )

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Probe:
        """Ask nothing."""
        return Probe()

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt alike."""
        scores = tuple(float(-index) for index in range(len(labels)))
        answers = [Answer(scores, labels[0], self.expect(prompt)) for prompt in prompts]
        self.count(sum((answer.usage for answer in answers), Usage()))
        return list(answers)

    def count(self, usage: Usage) -> None:
        """Take note of requests that go together as far as they can."""
        self.rounds += math.ceil(usage.calls / self.batch)
        self.spent += usage


class ChanceObjective(PromptObjective):
    """A site that asks as the real one does; its losses come out of a table of chance."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen: dict[bytes, set[int]] = defaultdict(set)
        self._asked = 0
        self._counted = Usage()

    async def losses(
        self, words: IntArray, demonstrations: IntArray, queries: IntArray
    ) -> FloatArray:
        """Return losses (I, B) that are a sum over the words, demonstrations and queries drawn."""
        new = self._new(words, demonstrations, queries)
        if self._asked < _WHOLE:
            await super().losses(words, demonstrations, queries)
        elif new:
            self._count(new)
        self._asked += len(words) * len(queries)
        of_words, of_demonstrations, of_queries = self._tables
        drawn = of_words[np.arange(self.shape.positions), words].sum(axis=1)
        shown = of_demonstrations[np.arange(self.shape.slots), demonstrations].sum(axis=1)
        of_pairs = np.sin(np.hstack([words, demonstrations]) * np.pi**2) @ of_queries[:, queries]
        losses: FloatArray = np.exp((drawn + shown)[:, None] + of_pairs)
        return losses

    def spent(self) -> Spent:
        """Figures of the ledger, and of what was only counted."""
        ledger, counted = super().spent(), self._counted
        return replace(
            ledger,
            calls=ledger.calls + counted.calls,
            tokens_in=ledger.tokens_in + counted.tokens_in,
            tokens_out=ledger.tokens_out + counted.tokens_out,
            money=ledger.money + counted.money,
        )

    def _new(self, words: IntArray, demonstrations: IntArray, queries: IntArray) -> list[_Drawn]:
        """Return what was never drawn before, and remember it."""
        new: list[_Drawn] = []
        asked = list(dict.fromkeys(queries.tolist()))
        for w, d in zip(words, demonstrations, strict=True):
            seen = self._seen[w.tobytes() + d.tobytes()]
            new += [(w, d, query) for query in asked if query not in seen]
            seen.update(asked)
        return new

    def _count(self, new: Sequence[_Drawn]) -> None:
        """Charge for prompts what some of them would cost."""
        model, train = self.gateway.model, self.prompts.data.train
        assert isinstance(model, StandIn)
        sample = [
            model.expect(prompt)
            for w, d, query in new[:: math.ceil(len(new) / _SAMPLE)]
            for prompt in self.prompts.prompts(w, d, [train[query]])
        ]
        found, factor = sum(sample, Usage()), len(new) / len(sample)
        usage = Usage(
            len(new),
            round(found.tokens_in * factor),
            round(found.tokens_out * factor),
            found.money * factor,
        )
        model.count(usage)
        self.gateway.budget.charge(usage)
        self._counted += usage

    @cached_property
    def _tables(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Effects of the words, of the demonstrations, and of the queries beside them."""
        shape, rng = self.shape, np.random.default_rng(0)
        return (
            rng.normal(0.0, _EFFECT, (shape.positions, shape.words)),
            rng.normal(0.0, _EFFECT, (shape.slots, shape.candidates)),
            rng.normal(0.0, _CHANCE, (shape.positions + shape.slots, self.counts[0])),
        )
