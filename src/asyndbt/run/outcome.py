"""What a finished run leaves behind: the coordinator's result, and each site's own part."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from asyndbt.config import Config
from asyndbt.federation import Coordinator
from asyndbt.optim import row_entropies
from asyndbt.prompt import TunedPrompt
from asyndbt.run.assembly import Assembly, RunSite
from asyndbt.run.directory import to_json, write_atomically
from asyndbt.run.statistics import accuracy, pool

__all__ = ["result_of", "write_site_part"]

SCHEMA_VERSION = 1
_KINDS = ("plain", "random_icl", "tuned")
_NEAR_UNIFORM = 0.9


def result_of(config: Config, assembly: Assembly, coordinator: Coordinator) -> dict[str, Any]:
    """Return the content of ``result.json``: figures and the shared fragment, no example's text."""
    evaluations = coordinator.evaluations
    draws = config.method.random_icl_draws
    overall = {
        kind: accuracy(
            pool([getattr(e, kind) for e in evaluations.values()]),
            draws if kind == "random_icl" else 1,
        )
        for kind in _KINDS
    }
    sites = {
        name: {
            "metrics": {
                "test": {
                    kind: accuracy(getattr(e, kind), draws if kind == "random_icl" else 1)
                    for kind in _KINDS
                },
                "validation": {"tuned": accuracy(e.validation)},
            },
            "gone": coordinator.roster[name].gone,
            "refused": coordinator.roster[name].strikes,
        }
        for name, e in evaluations.items()
    }
    spent = {name: site.worker.objective.spent() for name, site in assembly.sites.items()}
    total = {
        field: sum(getattr(s, field) for s in spent.values())
        for field in ("calls", "requests", "failed", "unparsed", "tokens_in", "tokens_out", "money")
    }
    requests = total.pop("requests")
    fragment = coordinator.fragment if assembly.plan.positions else ()
    return {
        "schema_version": SCHEMA_VERSION,
        "stop_reason": coordinator.stop_reason,
        "iterations": coordinator.server.iteration,
        "fragment": [assembly.vocabulary[index] for index in fragment],
        "metrics": {"test": overall},
        "sites": sites,
        "ledger": {**total, "cached": max(0, requests - total["calls"] - total["failed"])},
        "seed": config.run.seed,
        "versions": {
            "asyndbt": version("asyndbt"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "warnings": [*assembly.warnings, *_doubts(coordinator, assembly)],
    }


def write_site_part(site: RunSite, fragment: tuple[str, ...]) -> None:
    """Write the site's demonstrations and tuned prompt into its own part of the directory."""
    chosen = site.prompts.chosen(site.worker.demonstrations)
    prompt = TunedPrompt(site.prompts.task, fragment, chosen)
    demonstrations = [{**example.fields, "label": example.label} for example in chosen]
    part: Mapping[str, Any] = {"demonstrations": demonstrations, "fragment": list(fragment)}
    write_atomically(site.folder / "result.json", to_json(part))
    write_atomically(site.folder / "prompt.txt", (prompt.text_template() + "\n").encode())
    prompt.save(site.folder / "prompt.json")


def _doubts(coordinator: Coordinator, assembly: Assembly) -> list[str]:
    """Say what makes the outcome less than it seems."""
    doubts = []
    plan = assembly.plan
    if plan.positions:
        entropy = float(row_entropies(coordinator.server.z).mean())
        if entropy > _NEAR_UNIFORM * np.log(plan.words):
            doubts.append(
                f"the fragment policy is still close to uniform (entropy {entropy:.2f} of "
                f"{np.log(plan.words):.2f} nats): the fragment is little better than chance; give "
                "the run more calls or larger steps"
            )
    for member in coordinator.roster:
        if member.gone:
            doubts.append(f"site {member.name} was gone at the end")
        if member.strikes:
            doubts.append(f"site {member.name}: {member.strikes} reports were refused")
    return doubts
