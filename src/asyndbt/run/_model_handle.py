"""The language model of a run: how it is asked, and what it was found to be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from asyndbt._async import run_sync
from asyndbt.config import Config, LMConfig
from asyndbt.lm import LanguageModel, Probe, Prompt, RetryPolicy, Usage
from asyndbt.run._inputs import load_inputs

__all__ = ["ModelCheck", "ModelHandle", "check_model"]


@dataclass(slots=True)
class ModelHandle:
    """A language model, how its provider is asked, and what was found that it can do.

    Parameters
    ----------
    model : LanguageModel
    policy : RetryPolicy
    found : Probe
    """

    model: LanguageModel
    policy: RetryPolicy
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
        made = lm.make_model() if model is None else model
        return cls(made, RetryPolicy.of(lm.options), Probe())

    def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find out by a few requests what can be asked."""

        async def ask() -> Probe:
            try:
                return await self.model.detect_capabilities(prompts, labels)
            finally:
                await self.model.close()

        self.found = run_sync(ask())

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Go by what an earlier probe found, as `record` wrote it."""
        cost = dict(record["probe"])
        sent = cost.pop("sent")
        self.found = Probe(record["facts"], Usage(**cost), sent)
        self.model.restore_capabilities(self.found.facts)

    def record(self) -> dict[str, Any]:
        """Return what belongs into the record of a run; nothing secret."""
        return {
            "model": self.model.name,
            "facts": dict(self.found.facts),
            "probe": {**asdict(self.found.usage), "sent": self.found.sent},
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
    gathered = load_inputs(config)
    connection = ModelHandle.of(config.lm)
    connection.probe(gathered.check(connection.model), gathered.task.label_words)
    count = sum(len(site.data.queries) for site in gathered.sites.values())
    return ModelCheck(connection.model.name, connection.found, count, tuple(gathered.sites))
