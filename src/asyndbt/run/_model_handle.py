"""The language model of a run: how requests are sent to it, and its capabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from asyndbt._async import NewLoop, run_sync
from asyndbt.config import LMConfig
from asyndbt.errors import ConfigError
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


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe of a language model found.

    Parameters
    ----------
    facts : mapping
        Capabilities by name; nothing secret.
    usage : Usage
        Cost of the probe, with an upper bound for lost replies.
    sent : int
        Requests sent.
    """

    facts: Mapping[str, Any]
    usage: Usage
    sent: int


@dataclass(slots=True)
class ModelHandle:
    """A language model, its retry policy, and what a probe found and cost.

    `configured` is whether the configuration alone tells which model it is.
    """

    model: LanguageModel
    policy: RetryPolicy
    configured: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    @classmethod
    def of(cls, lm: LMConfig, model: LanguageModel | None = None) -> Self:
        """Make the model of a configuration, unless `model` replaces it; sends no request.

        Raises
        ------
        ConfigError, MissingExtraError, ModelError
            If the model cannot be made.
        """
        configured = model is None or lm.describes(model)
        return cls(model or lm.make_model(), RetryPolicy.of(lm.options), configured)

    @classmethod
    def of_record(
        cls, record: Mapping[str, Any], lm: LMConfig, model: LanguageModel | None = None
    ) -> Self:
        """Make the model of an earlier run again; raises as `of` and `check_record`."""
        check_record(record, model)
        handle = cls.of(lm, model)
        handle.restore_capabilities(record)
        if handle.model.name != record["model"]:
            raise _other_model(record, handle.model.name)
        return handle

    @property
    def probe(self) -> Probe:
        """What the probe found and cost."""
        return Probe(dict(self.facts), self.ledger.spent, self.ledger.sent)

    def detect_capabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        cache: AnswerCache | None = None,
        limits: Limits | None = None,
        new_loop: NewLoop | None = None,
    ) -> None:
        """Probe the model with a few requests.

        Parameters
        ----------
        prompts : sequence of Prompt
            Examples of what will be sent, the longest among them.
        cache : AnswerCache, optional
            Records the requests, with those of earlier attempts.
        limits : Limits, optional
            What the probe may cost.
        new_loop : callable, optional
            Makes the event loop, whose clock times the requests.

        Raises
        ------
        BudgetError, ConfigError, ModelError
            With the remedy; requests already sent are recorded.
        """
        with AnswerCache(":memory:") if cache is None else nullcontext(cache) as used:
            gateway = Gateway(self.model, used, Budget(limits or Limits()), self.policy)

            async def ask() -> Mapping[str, Any]:
                try:
                    return await gateway.detect_capabilities(prompts, labels)
                finally:
                    await self.model.close()

            self.facts = run_sync(ask(), new_loop)
            self.ledger = gateway.ledger()

    def restore_capabilities(self, record: Mapping[str, Any]) -> None:
        """Restore the capabilities and costs that `record` returned."""
        cost = dict(record["probe"])
        sent, usage = cost.pop("sent"), Usage(**cost)
        self.facts = record["facts"]
        self.ledger = Ledger(paid=usage, attempts=sent - usage.calls)
        self.model.restore_capabilities(self.facts)

    def record(self) -> dict[str, Any]:
        """Return what the run's record says of the model; nothing secret."""
        return {
            "model": self.model.name,
            "configured": self.configured,
            "facts": dict(self.facts),
            "probe": {**asdict(self.ledger.spent), "sent": self.ledger.sent},
        }


def check_record(record: Mapping[str, Any], model: LanguageModel | None) -> None:
    """Check that the model of an earlier run is known: `model`, or else the configured one.

    Raises
    ------
    ConfigError
        If the run was given a model that its configuration does not describe, and this is None.
    """
    if model is None and not record.get("configured", True):
        raise _other_model(record, "the configured model")


def _other_model(record: Mapping[str, Any], name: str) -> ConfigError:
    return ConfigError(
        f"the prompt was tuned for {record['model']}, and {name} would answer: give that model to "
        "Result(directory, model=...)"
    )
