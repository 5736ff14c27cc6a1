"""TPE: joint search over the fragment's words and the demonstrations.

Source: Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011 (the
tree-structured Parzen estimator), as optuna implements it; the search over instructions and
demonstrations at the core of MIPROv2 (Opsahl-Ong et al., EMNLP 2024).

Steps: one categorical variable per position and per demonstration slot; every prompt that the
sampler suggests is tried on one minibatch of training queries, and the sampler learns its mean
loss, until the budget for tuning is used; the best are validated.

Departures: in MIPROv2 a language model writes candidate instructions; here the candidates are those
of AsynDBT, word by word, so that the space is the same. The sampler has its own defaults.

A call is spent on: one prompt for one training query; validation.

Needs optuna, extra ``study``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import Predictor
from asyndbt.baselines._search import Pair, run_search
from asyndbt.errors import MissingExtraError
from asyndbt.optim import Shape


class TpeProposer:
    """Optuna's `TPESampler` with its own defaults.

    Raises
    ------
    MissingExtraError
        Without optuna.
    """

    def __init__(self, shape: Shape, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingExtraError("optuna", "study") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._shape = shape
        self._study: Any = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._failed: Any = optuna.trial.TrialState.FAIL
        self._trial: Any = None

    def propose(self) -> Pair:
        """Return a prompt."""
        self._trial = trial = self._study.ask()
        shape = self._shape
        words = [
            trial.suggest_categorical(f"word {i}", range(shape.words))
            for i in range(shape.positions)
        ]
        shown = [
            trial.suggest_categorical(f"slot {u}", range(shape.candidates))
            for u in range(shape.slots)
        ]
        return np.array(words, dtype=np.int64), np.array(shown, dtype=np.int64)

    def learn(self, loss: float) -> None:
        """Learn from the loss of the last prompt; one without answers counts as failed."""
        if np.isfinite(loss):
            self._study.tell(self._trial, loss)
        else:
            self._study.tell(self._trial, state=self._failed)


@dataclass(frozen=True, slots=True)
class TPE(PerSiteBaseline):
    """Optuna's tree-structured Parzen estimator; `batch` training queries try each prompt."""

    batch: int = 10
    name: ClassVar[str] = "tpe"
    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations", "fragment")
    tunes_fragment: ClassVar[bool] = True

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Search."""
        proposer = TpeProposer(site.prompts.shape, site.integer("proposals"))
        return await run_search(site, proposer, self.batch)
