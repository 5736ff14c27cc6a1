"""``asyndbt demo`` and ``asyndbt init``: a small task at three sites, to start from."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

import asyndbt.run
from asyndbt.cli._outcome_text import accuracy_table, border_text, calls_text, prompts_text
from asyndbt.cli._run import Followed, add_display_flags, follow
from asyndbt.config import Config, MethodConfig, starter_toml
from asyndbt.errors import ConfigError
from asyndbt.pocket import SIZES, TASKS

_DEFAULT_TASK = "sentiment-consumer"
_TUNING_CALLS = 2_000
"""Calls of a site for tuning and validation."""
_POOL = 40
"""Candidates for demonstrations at a site, all classes together."""

_HONESTY = """\
The pocket model is a tiny model that this project trained for its demo. The figures show that
the method works on it; they say nothing about real language models."""


def add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "demo",
        help="tune for a small task at three sites, offline",
        description="Tune prompts for a small task at three sites with the pocket model: "
        "no key, no network, nothing to set up.",
    )
    parser.add_argument(
        "--task",
        default=_DEFAULT_TASK,
        choices=list(TASKS),
        metavar="NAME",
        help=f"one of {', '.join(TASKS)} (default: {_DEFAULT_TASK})",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (0)")
    parser.add_argument("--dir", type=Path, help="directory of the record (runs/demo-...)")
    add_display_flags(parser)
    parser.set_defaults(execute=_demo)


def _demo(args: argparse.Namespace) -> None:
    config = demo_config(args.task, args.seed, args.dir)
    if not args.json and not args.quiet:
        print(f"{args.task}: {TASKS[args.task].description}")
    followed = follow(args, lambda observers: asyndbt.run.run_config(config, observers=observers))
    if not args.json:
        print(_outcome(args.task, followed))


def _outcome(task: str, followed: Followed) -> str:
    result = followed.result
    parts = [
        *(f"Warning: {text}" for text in followed.warnings),
        accuracy_table(result.data),
        prompts_text(result, TASKS[task].text_fields),
        calls_text(
            result.data["ledger"],
            " The pocket model answers for nothing; a cloud model would have charged for each.",
        ),
        border_text(result.directory, followed.start),
        f"Record: {result.directory}",
        _HONESTY,
        "Next: asyndbt init asyndbt.toml   (a configuration to put your own data into)",
    ]
    return "\n\n".join(parts)


def demo_values(task: str) -> dict[str, dict[str, Any]]:
    """Return the demo's configuration for a task of `asyndbt.pocket.TASKS`, without defaults."""
    known = TASKS[task]
    values = known.config_tables()
    tested = -(-SIZES["test"] // len(known.sites))
    evaluations = 2 + MethodConfig().random_icl_draws  # plain, tuned, and the random draws
    values["data"]["pool_per_class"] = _POOL // len(known.labels)
    values["budget"] = {"per_site": {"calls": _TUNING_CALLS + evaluations * tested}}
    return values


def demo_config(task: str, seed: int = 0, directory: Path | None = None) -> Config:
    """Return the demo's configuration; its directory is ``runs/demo-TASK-seedSEED`` by default."""
    run = {"seed": seed} if directory is None else {"seed": seed, "dir": str(directory)}
    return Config.from_dict({**demo_values(task), "run": run}, name=f"demo-{task}")


def add_init(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "init",
        help="write a commented configuration to start from",
        description="Write a configuration that runs as it stands, with the pocket model, "
        "and explains every key.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        default=Path("asyndbt.toml"),
        help="file to write (asyndbt.toml)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.set_defaults(execute=_init)


def _init(args: argparse.Namespace) -> None:
    text = starter_toml(Config, demo_values(_DEFAULT_TASK))
    try:
        with args.file.open("w" if args.force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{args.file} exists already: give another name, or --force to overwrite it"
        ) from None
    print(f"{args.file} is written. Try it as it stands, then put your own data in:")
    print(f"    asyndbt run {shlex.quote(str(args.file))}")
