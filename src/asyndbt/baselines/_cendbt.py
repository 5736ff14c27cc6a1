"""cenDBT: AsynDBT with all data pooled at one place.

Source: Ma et al., Scientific Reports 16:9381 (2026): one worker that holds all sites' examples, no
consensus, no planes. ``method.centralised`` in a configuration.

Departures: see ``docs/method.md``. Its one site may spend what the sites together may: caps per
site are multiplied by their number.

A call is spent on: one draw of words and demonstrations for one training query, validation, and
the evaluation.
"""

from __future__ import annotations

from typing import Any, ClassVar

from asyndbt.config import Config
from asyndbt.run import AsynDBT, load_inputs


class CenDBT(AsynDBT):
    """AsynDBT with one worker that holds all data."""

    name: ClassVar[str] = "cendbt"
    simulates_liars: ClassVar[bool] = False

    def configure(self, config: Config) -> Config:
        """Pool the data, and multiply the caps per site."""
        apart = super().configure(config)
        sites = len(load_inputs(apart).sites)
        changes: dict[str, Any] = {"method.centralised": True}
        for field in ("calls", "tokens", "money"):
            cap = getattr(apart.budget.per_site, field)
            if cap is not None:
                changes[f"budget.per_site.{field}"] = cap * sites
        return apart.override(changes)
