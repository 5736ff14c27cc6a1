"""AsynDBT itself, and cenDBT: the same with all data pooled at one place.

Source: Ma et al., Scientific Reports 16:9381 (2026). cenDBT is its centralised form: one worker
that holds all sites' examples, no consensus, no planes.

Steps: `asyndbt.run.run_config`, with ``method.centralised`` false or true.

Departures: see ``docs/method.md``. cenDBT's one site may spend what the sites together may: caps
per site are multiplied by their number.

A call is spent on: one draw of words and demonstrations about one training query, the looks at the
validation split, and the evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from asyndbt.config import Config, load_config
from asyndbt.lm import LanguageModel
from asyndbt.run import (
    Observer,
    Result,
    RunDirectory,
    curve_of_events,
    load_inputs,
    resume_run,
    run_config,
    to_json,
    write_atomically,
)

__all__ = ["AsynDBT", "CenDBT"]


@dataclass(frozen=True, slots=True)
class AsynDBT:
    """The method of this package."""

    name: ClassVar[str] = "asyndbt"
    is_baseline: ClassVar[bool] = False

    def configured(self, config: Config) -> Config:
        """Return the configuration with the data at their sites."""
        if not config.method.centralised:
            return config
        return config.override({"method.centralised": None})

    def run(
        self, config: Config, observers: Sequence[Observer], model: LanguageModel | None
    ) -> Result:
        """Run, or go on with a run of the same settings that was broken off."""
        config = self.configured(config)
        directory = RunDirectory(config.run.dir)
        if self._broken_off(config, directory):
            result = resume_run(directory.path, observers=observers, model=model)
        else:
            result = run_config(config, observers=observers, model=model)
        events = (directory.path / "events.jsonl").read_text("utf-8").splitlines()
        curve = curve_of_events(json.loads(line) for line in events)
        write_atomically(directory.path / "curve.json", to_json(curve))
        directory.write_json("result.json", {**result.data, "method": self.name})
        return Result(directory.path)

    def _broken_off(self, config: Config, directory: RunDirectory) -> bool:
        if not directory.config_file.exists():
            return False
        done = directory.read_json("result.json")
        same = load_config(directory.config_file).fingerprint() == config.fingerprint()
        return same and (done is None or "method" not in done)


@dataclass(frozen=True, slots=True)
class CenDBT(AsynDBT):
    """AsynDBT with one worker that holds all data."""

    name: ClassVar[str] = "cendbt"

    def configured(self, config: Config) -> Config:
        """Return the configuration with the data at one place, and the budget of all sites."""
        apart = AsynDBT().configured(config)
        sites = len(load_inputs(apart).sites)
        changes: dict[str, Any] = {"method.centralised": True}
        for field in ("calls", "tokens", "money"):
            cap = getattr(apart.budget.per_site, field)
            if cap is not None:
                changes[f"budget.per_site.{field}"] = cap * sites
        return apart.override(changes)
