"""BDPL: the fragment only, at each site on its own.

Source: Diao et al., TMLR 2023, arXiv 2201.08531; as used by Ma et al., Scientific Reports 16:9381
(2026).

Steps: draw fragments from the policy, evaluate them on one minibatch, estimate the gradient from
the differences of their losses, step, project; at the end take the read-out.

Departures: see `asyndbt.baselines._policy_gradient`; validation compares the final read-out with
earlier ones.

A call is spent on: one fragment for one training query; validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._policy_gradient import learn_fragment
from asyndbt.baselines._predictors import FixedPrompt, Predictor


@dataclass(frozen=True, slots=True)
class BDPL(PerSiteBaseline):
    """Policy gradient on the fragment."""

    name: ClassVar[str] = "bdpl"
    modes: ClassVar[tuple[str, ...]] = ("both",)
    tunes_fragment: ClassVar[bool] = True

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Learn the site's own fragment."""
        fragment, steps = await learn_fragment({site.name: site}, lambda number, able: able)
        return FixedPrompt.of_words(site.prompts, fragment), steps
