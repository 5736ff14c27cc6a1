"""``asyndbt demo``: tune for a small task at three sites, with nothing to set up."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asyndbt import run as facade
from asyndbt.cli._run import Finished, add_display_flags, follow
from asyndbt.cli._text import accuracy_table, border_text, calls_text, prompts_text
from asyndbt.config import Config, MethodConfig
from asyndbt.pocket import SIZES, TASKS

__all__ = ["DEFAULT_TASK", "add_demo", "demo_config", "demo_values"]

DEFAULT_TASK = "sentiment-consumer"
_TUNING_CALLS = 2_000
"""Calls of a site for tuning and choosing."""
_POOL = 40
"""Candidates for demonstrations at a site, all classes together."""

_HONESTY = """\
The pocket model is a tiny model that this project trained for its demo. The figures show that
the method works on it; they say nothing about real language models."""


def add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "demo",
        help="tune for a small task at three sites, offline",
        description="Tune prompts for a small task at three sites with the pocket model: "
        "no key, no network, nothing to set up.",
    )
    parser.add_argument(
        "--task",
        default=DEFAULT_TASK,
        choices=list(TASKS),
        metavar="NAME",
        help=f"one of {', '.join(TASKS)} (default: {DEFAULT_TASK})",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (0)")
    parser.add_argument("--dir", type=Path, help="directory of the record (runs/demo-...)")
    add_display_flags(parser)
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Run it."""
    config = demo_config(args.task, args.seed, args.dir)
    if not args.json and not args.quiet:
        print(f"{args.task}: {TASKS[args.task].description}")
    done = follow(args, lambda observers: facade.run_config(config, observers=observers))
    if not args.json:
        print(_account(args.task, done))


def demo_values(task: str) -> dict[str, dict[str, Any]]:
    """Return the configuration of the demo as nested tables, without what is default anyway."""
    known = TASKS[task]
    tested = -(-SIZES["test"] // len(known.sites))
    looks = 2 + MethodConfig().random_icl_draws  # plain, tuned, and the random draws
    return {
        "task": {"instruction": known.instruction, "labels": dict(known.labels)},
        "data": {
            **{split: f"pocket:{task}/{split}" for split in ("train", "validation", "test")},
            "site_column": "site",
            "pool_per_class": _POOL // len(known.labels),
        },
        "lm": {"provider": "pocket"},
        "method": {"vocabulary": "pocket"},
        "budget": {"per_site": {"calls": _TUNING_CALLS + looks * tested}},
    }


def demo_config(task: str, seed: int = 0, directory: Path | None = None) -> Config:
    """Return the configuration of the demo.

    Parameters
    ----------
    task : str
        A key of `asyndbt.pocket.TASKS`.
    seed : int
    directory : Path, optional
        Of the record; ``runs/demo-TASK-seedSEED`` by default.
    """
    run: dict[str, Any] = {"seed": seed}
    if directory is not None:
        run["dir"] = str(directory)
    return Config.from_dict({**demo_values(task), "run": run}, name=f"demo-{task}")


def _account(task: str, done: Finished) -> str:
    result = done.result
    parts = [
        *(f"Warning: {text}" for text in result.data["warnings"]),
        accuracy_table(result.data),
        prompts_text(result, TASKS[task].text_fields),
        calls_text(
            result.data["ledger"],
            " The pocket model answers for nothing; a cloud model would have charged for each.",
        ),
        border_text(result.directory, done.start),
        f"Record: {result.directory}",
        _HONESTY,
        "Next: asyndbt init asyndbt.toml   (a configuration to put your own data into)",
    ]
    return "\n\n".join(parts)
