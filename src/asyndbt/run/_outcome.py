"""What a finished run leaves behind: the coordinator's result, and each site's own part.

Accuracies with intervals.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.config import Config
from asyndbt.federation import Coordinator, EvaluateDone, Score, Spent
from asyndbt.optim import FloatArray, row_entropies
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import to_json, write_atomically
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._setup import RunSetup
from asyndbt.run._site import RunSite

__all__ = [
    "accuracy_interval",
    "build_result",
    "measured",
    "pool_scores",
    "site_result",
    "write_prompt",
    "write_site_part",
]

SCHEMA_VERSION = 1
_KINDS = ("plain", "random_icl", "tuned")
_NEAR_UNIFORM = 0.9
_NAMED = 8
"""Most sites that one warning names."""
_DOUBTFUL = 0.05
"""Share of requests without a usable answer that is worth a warning."""


def build_result(config: Config, assembly: RunSetup, coordinator: Coordinator) -> dict[str, Any]:
    """Return the content of ``result.json``: figures and the shared fragment, no example's text."""
    evaluations = {
        member.name: None if member.banned else coordinator.evaluations.get(member.name)
        for member in coordinator.roster
    }
    fragment = coordinator.fragment if assembly.plan.positions else ()
    spent = {member.name: member.spent for member in coordinator.roster}
    result = measured(config, assembly, evaluations, spent)
    for member in coordinator.roster:
        result["sites"][member.name] |= {"gone": member.gone, "refused": member.strikes}
    warnings = [*_undecided(coordinator, assembly), *_absences(coordinator)]
    return {
        **result,
        "stop_reason": coordinator.stop_reason,
        "iterations": coordinator.server.iteration,
        "fragment": [assembly.vocabulary[index] for index in fragment],
        "warnings": result["warnings"] + warnings,
    }


def measured(
    config: Config,
    assembly: RunSetup,
    evaluations: Mapping[str, EvaluateDone | None],
    elsewhere: Mapping[str, Spent] | None = None,
) -> dict[str, Any]:
    """Return what ``result.json`` says whatever the method was: accuracies, ledger, versions.

    Parameters
    ----------
    config : Config
    assembly : Assembly
    evaluations : mapping of str to EvaluateDone or None
        By site; None where nothing was evaluated.
    elsewhere : mapping of str to Spent, optional
        Figures of sites that are not in the assembly.
    """
    draws = {"random_icl": config.method.random_icl_draws}
    known = [found for found in evaluations.values() if found is not None]
    overall = {
        kind: accuracy_interval(pool_scores([getattr(e, kind) for e in known]), draws.get(kind, 1))
        for kind in _KINDS
    }
    sites: dict[str, Any] = {}
    for name, found in evaluations.items():
        test = {
            kind: found and accuracy_interval(getattr(found, kind), draws.get(kind, 1))
            for kind in _KINDS
        }
        validation = {"tuned": found and accuracy_interval(found.validation)}
        metrics = {"test": test, "validation": validation}
        sites[name] = {"metrics": metrics, "gone": False, "refused": 0}
    ledger, requests = _ledger(assembly, elsewhere or {})
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": {"test": overall},
        "sites": sites,
        "ledger": ledger,
        "model": assembly.connection.record(),
        "seed": config.run.seed,
        "versions": {
            "asyndbt": version("asyndbt"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "warnings": [*assembly.warnings, *_unanswered(ledger, requests)],
    }


def site_result(
    fragment: Sequence[str], report: EvaluateDone, connection: ModelHandle
) -> dict[str, Any]:
    """Return what a site that is by itself knows of a run's outcome."""
    test = {kind: accuracy_interval(getattr(report, kind)) for kind in _KINDS}
    return {
        "schema_version": SCHEMA_VERSION,
        "fragment": list(fragment),
        "metrics": {"test": test},
        "model": connection.record(),
        "sites": {report.site: {"metrics": {"test": test}}},
    }


def _ledger(assembly: RunSetup, elsewhere: Mapping[str, Spent]) -> tuple[dict[str, Any], int]:
    """Sum the ledgers of all sites, those that are elsewhere too, and the probe; requests apart."""
    spent = dict(elsewhere)
    spent |= {name: site.worker.objective.spent() for name, site in assembly.sites.items()}
    parts = [*spent.values(), Spent(**assembly.connection.ledger.totals())]
    ledger = {field: sum(getattr(s, field) for s in parts) for field in Spent.__slots__}
    return ledger, ledger.pop("requests")


def write_site_part(site: RunSite, fragment: tuple[str, ...]) -> None:
    """Write the site's demonstrations and tuned prompt into its own part of the directory."""
    chosen = site.prompts.chosen(site.worker.demonstrations)
    write_prompt(site.folder, TunedPrompt(site.prompts.task, fragment, chosen))


def write_prompt(folder: Path, prompt: TunedPrompt) -> None:
    """Write a tuned prompt, as text and to be loaded again, into a site's part."""
    demonstrations = [{**e.fields, "label": e.label} for e in prompt.demonstrations]
    part: Mapping[str, Any] = {"demonstrations": demonstrations, "fragment": list(prompt.fragment)}
    write_atomically(folder / "result.json", to_json(part))
    write_atomically(folder / "prompt.txt", (prompt.text_template() + "\n").encode())
    prompt.save(folder / "prompt.json")


def _unanswered(ledger: Mapping[str, float], requests: int) -> Iterator[str]:
    """Say how many requests brought nothing to learn from."""
    for count, of, what in (
        (ledger["failed"], requests - ledger["cached"], "requests failed"),
        (ledger["refused"], ledger["calls"], "prompts were refused by the provider"),
        (ledger["unparsed"], requests, "answers name no label"),
    ):
        if count > _DOUBTFUL * of:
            yield f"{count:,} of {of:,} {what} ({count / of:.0%}): the figures rest on the others"


def _undecided(coordinator: Coordinator, assembly: RunSetup) -> Iterator[str]:
    """Say which policies have hardly moved: what is read out of them is chance."""
    plan = assembly.plan
    if plan.positions and _is_uniform(coordinator.server.z):
        yield (
            "the fragment policy is still close to uniform (entropy "
            f"{row_entropies(coordinator.server.z).mean():.2f} of {np.log(plan.words):.2f} nats): "
            "the fragment is little better than chance; give the run more calls or larger steps"
        )
    names = [name for name, site in assembly.sites.items() if _is_uniform(site.worker.learner.q)]
    if names:
        yield (
            f"the demonstration policy is still close to uniform at {_some(names)}: the "
            "demonstrations there are little better than chance; give the run more calls or "
            "larger steps"
        )


def _is_uniform(policy: FloatArray) -> bool:
    if not policy.size:
        return False
    return bool(row_entropies(policy).mean() > _NEAR_UNIFORM * np.log(policy.shape[1]))


def _absences(coordinator: Coordinator) -> Iterator[str]:
    for member in coordinator.roster:
        found, expected = coordinator.evaluations.get(member.name), member.counts[2]
        if found is not None and found.tuned.n < (1 - _DOUBTFUL) * expected:
            yield (
                f"site {member.name}: {found.tuned.n} of {expected} test examples were scored: the "
                "others brought no answer, or lost requests had used up what was kept back"
            )
        if member.gone:
            yield f"site {member.name} was gone at the end"
        if member.strikes:
            out = ": the site was left out of everything" if member.banned else ""
            yield f"site {member.name}: {member.strikes} reports were refused{out}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more sites" if len(names) > _NAMED else shown


_Z = 1.959964


def pool_scores(scores: Sequence[Score]) -> Score:
    """Pool the scores of several sites, each example counting once."""
    n = sum(score.n for score in scores)
    if not n:
        return Score()
    return Score(
        math.fsum(score.correct for score in scores),
        n,
        math.fsum(score.loss * score.n for score in scores) / n,
        math.sqrt(math.fsum((score.spread * score.n / n) ** 2 for score in scores)),
    )


def accuracy_interval(score: Score, draws: int = 1) -> dict[str, Any] | None:
    """Return accuracy, 95 % interval and n of a score; None without examples.

    Wilson's interval for one prompt. For a mean over random draws the variance of that mean over
    draws, spread^2 / draws, is added to the sampling variance.

    Parameters
    ----------
    score : Score
    draws : int
        Random draws that the score averages over.

    Examples
    --------
    >>> accuracy_interval(Score(correct=90, n=100, loss=0.3))
    {'accuracy': 0.9, 'interval': [0.8256, 0.9448], 'loss': 0.3, 'n': 100}
    """
    if not score.n:
        return None
    share, n = score.correct / score.n, score.n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    half = math.hypot(half, _Z * score.spread / math.sqrt(draws)) if draws > 1 else half
    interval = [round(max(0.0, center - half), 4), round(min(1.0, center + half), 4)]
    return {
        "accuracy": round(share, 6),
        "interval": interval,
        "loss": round(score.loss, 6),
        "n": n,
    }
