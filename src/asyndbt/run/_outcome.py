"""What a finished run records: ``result.json``, and each site's own part."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.config import Config
from asyndbt.federation import EvaluateDone, Score, Spent
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import to_json, write_atomically
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._setup import RunSetup

SCHEMA_VERSION = 1
_KINDS = ("plain", "random_icl", "tuned")
DOUBTFUL_SHARE = 0.05
"""Share of requests without a usable answer that is worth a warning."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method has found, and how the run ended.

    Parameters
    ----------
    evaluations : mapping of str to EvaluateDone or None
        By site; None where nothing was evaluated.
    iterations : int
        Most that a site, or the server, has done.
    fragment : tuple of str
        Words that all sites share, if they do.
    prompts : mapping of str to callable
        By site in this process: writes what was found into the site's folder.
    spent : mapping of str to Spent
        As reported by sites on other machines.
    conduct : mapping of str to (bool, int)
        By site: whether it was gone at the end, and how many of its reports were refused.
    """

    evaluations: Mapping[str, EvaluateDone | None]
    stop_reason: str
    iterations: int
    fragment: tuple[str, ...] = ()
    prompts: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    spent: Mapping[str, Spent] = field(default_factory=dict)
    conduct: Mapping[str, tuple[bool, int]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def build_result(config: Config, setup: RunSetup, outcome: Outcome) -> dict[str, Any]:
    """Return the content of ``result.json``; it holds no text of any example."""
    draws = {"random_icl": config.method.random_icl_draws}
    known = [found for found in outcome.evaluations.values() if found is not None]
    overall = {
        kind: accuracy_interval(pool_scores([getattr(e, kind) for e in known]), draws.get(kind, 1))
        for kind in _KINDS
    }
    sites: dict[str, Any] = {}
    for name, found in outcome.evaluations.items():
        test = {
            kind: found and accuracy_interval(getattr(found, kind), draws.get(kind, 1))
            for kind in _KINDS
        }
        validation = {"tuned": found and accuracy_interval(found.validation)}
        gone, refused = outcome.conduct.get(name, (False, 0))
        metrics = {"test": test, "validation": validation}
        sites[name] = {"metrics": metrics, "gone": gone, "refused": refused}
    ledger, requests = _ledger(setup, outcome.spent)
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": {"test": overall},
        "sites": sites,
        "ledger": ledger,
        "model": setup.handle and setup.handle.record(),
        "seed": config.run.seed,
        "versions": {
            "asyndbt": version("asyndbt"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "stop_reason": outcome.stop_reason,
        "iterations": outcome.iterations,
        "fragment": list(outcome.fragment),
        "warnings": [*setup.warnings, *_unanswered(ledger, requests), *outcome.warnings],
    }


def site_result(
    fragment: Sequence[str], report: EvaluateDone, handle: ModelHandle
) -> dict[str, Any]:
    """Return what a site on its own machine records of a run's outcome."""
    test = {kind: accuracy_interval(getattr(report, kind)) for kind in _KINDS}
    return {
        "schema_version": SCHEMA_VERSION,
        "fragment": list(fragment),
        "metrics": {"test": test},
        "model": handle.record(),
        "sites": {report.site: {"metrics": {"test": test}}},
    }


def _ledger(setup: RunSetup, elsewhere: Mapping[str, Spent]) -> tuple[dict[str, Any], int]:
    """Sum the ledgers of all sites and of the probe; return the requests separately."""
    spent = dict(elsewhere)
    spent |= {name: site.worker.objective.spent() for name, site in setup.sites.items()}
    parts = [*spent.values()]
    if setup.handle is not None:
        parts.append(Spent(**setup.handle.ledger.totals()))
    ledger = {field: sum(getattr(s, field) for s in parts) for field in Spent.__slots__}
    return ledger, ledger.pop("requests")


def write_prompt(folder: Path, prompt: TunedPrompt) -> None:
    """Write a tuned prompt into a site's folder: readable as text, and loadable."""
    demonstrations = [{**e.fields, "label": e.label} for e in prompt.demonstrations]
    part: Mapping[str, Any] = {"demonstrations": demonstrations, "fragment": list(prompt.fragment)}
    write_atomically(folder / "result.json", to_json(part))
    write_atomically(folder / "prompt.txt", (prompt.text_template() + "\n").encode())
    prompt.save(folder / "prompt.json")


def _unanswered(ledger: Mapping[str, float], requests: int) -> Iterator[str]:
    for count, of, what in (
        (ledger["failed"], requests - ledger["cached"], "requests failed"),
        (ledger["refused"], ledger["calls"], "prompts were refused by the provider"),
        (ledger["unparsed"], requests, "answers name no label"),
    ):
        if count > DOUBTFUL_SHARE * of:
            yield f"{count:,} of {of:,} {what} ({count / of:.0%}): the figures rest on the others"


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
    """Return accuracy, 95 % interval, mean loss and n of a score; None without examples.

    Wilson's interval for one prompt. For a mean over `draws` random draws, the variance of that
    mean, spread^2 / draws, is added to the sampling variance.

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
