"""The language model of a run: how it is asked, and what it was found to be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from asyndbt._async import run_sync
from asyndbt.config import Config, LMConfig
from asyndbt.lm import (
    AnswerCache,
    Budget,
    Gateway,
    LanguageModel,
    Ledger,
    Limits,
    Prompt,
    RetryPolicy,
    Usage,
)
from asyndbt.run._inputs import load_inputs


@dataclass(frozen=True, slots=True)
class Probe:
    """What a language model was found to be able to do.

    Parameters
    ----------
    facts : mapping
        By name; nothing secret.
    usage : Usage
        What finding out cost, and at most may have cost where a reply was lost.
    sent : int
        Requests that were sent for it.
    """

    facts: Mapping[str, Any]
    usage: Usage
    sent: int


@dataclass(slots=True)
class ModelHandle:
    """A language model, how its provider is asked, and what was found that it can do.

    Parameters
    ----------
    model : LanguageModel
    policy : RetryPolicy
    facts : mapping
        What was found, by name.
    ledger : Ledger
        What finding out has cost.
    """

    model: LanguageModel
    policy: RetryPolicy
    facts: Mapping[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

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
        return cls(model or lm.make_model(), RetryPolicy.of(lm.options))

    @property
    def probe(self) -> Probe:
        """What was found, and what that has cost."""
        return Probe(dict(self.facts), self.ledger.spent, self.ledger.sent)

    def detect_capabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        cache: AnswerCache | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Find out by a few requests what can be asked.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples of what will be sent, the longest among them.
        labels : sequence of str
        cache : AnswerCache, optional
            Where the requests are written down, with those of earlier tries.
        limits : Limits, optional
            What they may cost.

        Raises
        ------
        BudgetError, ConfigError, ModelError
            With the remedy; what was sent is written down.
        """
        cache = AnswerCache(":memory:") if cache is None else cache
        gateway = Gateway(self.model, cache, Budget(limits or Limits()), self.policy)

        async def ask() -> Mapping[str, Any]:
            try:
                return await gateway.detect_capabilities(prompts, labels)
            finally:
                await self.model.close()

        self.facts = run_sync(ask())
        self.ledger = gateway.ledger()

    def restore_capabilities(self, record: Mapping[str, Any]) -> None:
        """Go by what was found earlier, as `record` wrote it."""
        cost = dict(record["probe"])
        sent, usage = cost.pop("sent"), Usage(**cost)
        self.facts = record["facts"]
        self.ledger = Ledger(paid=usage, attempts=sent - usage.calls)
        self.model.restore_capabilities(self.facts)

    def record(self) -> dict[str, Any]:
        """Return what belongs into the record of a run; nothing secret."""
        return {
            "model": self.model.name,
            "facts": dict(self.facts),
            "probe": {**asdict(self.ledger.spent), "sent": self.ledger.sent},
        }


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """A configuration that a run could start with.

    Parameters
    ----------
    model : str
        Identity of the language model, as answers are kept under.
    probe : Probe
        What it can do, and what finding out has cost.
    prompts : int
        Queries of all sites, all of which fit.
    sites : tuple of str
    """

    model: str
    probe: Probe
    prompts: int
    sites: tuple[str, ...]


def check_model(config: Config) -> ModelCheck:
    """Load the data, and ask the language model a few times what it can do.

    Raises
    ------
    AsyndbtError
        Whatever would keep a run from starting, in the provider's own words where it is the
        provider that objects.
    """
    inputs = load_inputs(config)
    handle = ModelHandle.of(config.lm)
    handle.detect_capabilities(inputs.check(handle.model), inputs.task.label_words)
    count = sum(len(site.data.queries) for site in inputs.sites.values())
    return ModelCheck(handle.model.name, handle.probe, count, tuple(inputs.sites))
