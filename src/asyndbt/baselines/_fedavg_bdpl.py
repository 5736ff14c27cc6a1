"""Federated averaging of BDPL: one fragment for all sites, synchronous.

Source: McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
AISTATS 2017, over BDPL (Diao et al., TMLR 2023), as FedOne (Wang et al., ICML 2025, arXiv
2506.14929) describes it for all clients active.

Steps: every round all sites start from the server's policy and take `local_steps` steps of BDPL;
the server waits for all and takes the mean of their policies.

Departures: see `asyndbt.baselines._policy_gradient`; sites have equal weights, as in AsynDBT.

A call is spent on: one fragment for one training query; validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from asyndbt.baselines._base import Baseline, BaselineSite, TuningOutcome
from asyndbt.baselines._policy_gradient import shared_fragment


@dataclass(frozen=True, slots=True)
class FedAvgBDPL(Baseline):
    """All sites in every round; each takes `local_steps` steps."""

    local_steps: int = 1
    name: ClassVar[str] = "fedavg-bdpl"
    modes: ClassVar[tuple[str, ...]] = ("both",)
    tunes_fragment: ClassVar[bool] = True

    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Tune one fragment."""
        return await shared_fragment(sites, lambda number, able: able, self.local_steps)
