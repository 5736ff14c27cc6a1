"""From the table [lm] to a language model, how it is asked, and what it was found to be able to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from asyndbt.config import LMConfig
from asyndbt.lm import LanguageModel, Limiter, Pace, Probe, Prompt, Usage, make_model
from asyndbt.run.loops import complete

__all__ = ["Connection"]


@dataclass(slots=True)
class Connection:
    """A language model, the pace at which its provider is asked, and what a probe found.

    Parameters
    ----------
    model : LanguageModel
    pace : Pace
    found : Probe
    """

    model: LanguageModel
    pace: Pace
    found: Probe

    @classmethod
    def of(cls, lm: LMConfig, model: LanguageModel | None = None) -> Self:
        """Make the model that a configuration names; asks nothing.

        Parameters
        ----------
        lm : LMConfig
        model : LanguageModel, optional
            Takes the place of the one that the configuration names; the feedback is still that of
            the configuration.

        Raises
        ------
        ConfigError, MissingExtraError, ModelError
            If it cannot be made: an unknown name, a missing package.
        """
        limiter = Limiter(lm.max_concurrency, lm.requests_per_minute, lm.tokens_per_minute)
        made = make_model(lm.provider, **lm.options) if model is None else model
        return cls(made, Pace(limiter, lm.max_retries), Probe())

    def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find out by a few requests what can be asked."""

        async def ask() -> Probe:
            try:
                return await self.model.probe(prompts, labels)
            finally:
                await self.model.close()

        self.found = complete(ask())

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Go by what an earlier probe found, as `record` wrote it."""
        cost = dict(record["probe"])
        sent = cost.pop("sent")
        self.found = Probe(record["facts"], Usage(**cost), sent)
        self.model.adopt(self.found.facts)

    def record(self) -> dict[str, Any]:
        """Return what belongs into the record of a run; nothing secret."""
        return {
            "model": self.model.name,
            "facts": dict(self.found.facts),
            "probe": {**asdict(self.found.usage), "sent": self.found.sent},
        }
