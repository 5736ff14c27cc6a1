"""FedOne: one fragment for all sites, one active client a round.

Source: Wang et al., "FedOne: query-efficient federated learning for black-box discrete prompt
learning", ICML 2025, arXiv 2506.14929: federated BDPL needs the fewest calls of the language model
when a single client is active in each round.

Steps: every round one site, drawn uniformly, starts from the server's policy, takes `local_steps`
steps of BDPL, and its policy becomes the server's.

Departures: see `asyndbt.baselines._policy_gradient`; steps and projections act on the policy
itself, instead of the source's parameters behind a Gumbel-softmax. A site whose budget is used up
is not drawn again, so that the sites together spend what every other method spends.

A call is spent on: one fragment for one training query; validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from asyndbt.baselines._base import Baseline, BaselineSite, TuningOutcome
from asyndbt.baselines._policy_gradient import shared_fragment


@dataclass(frozen=True, slots=True)
class FedOne(Baseline):
    """One site in every round; it takes `local_steps` steps."""

    local_steps: int = 1
    name: ClassVar[str] = "fedone"
    modes: ClassVar[tuple[str, ...]] = ("both",)
    tunes_fragment: ClassVar[bool] = True

    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Tune one fragment."""
        seed = next(iter(sites.values())).seed

        def one(number: int, able: Sequence[str]) -> Sequence[str]:
            return [able[int(np.random.default_rng([seed, number]).integers(len(able)))]]

        return await shared_fragment(sites, one, self.local_steps)
