"""``asyndbt demo`` and ``asyndbt init``: a small task at three sites, to start from."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

import asyndbt.run
from asyndbt.cli._demo_tasks import REVIEWS, DemoTask, demo_config, demo_task, demo_values
from asyndbt.cli._outcome_text import (
    accuracy_table,
    border_text,
    calls_text,
    prompts_text,
    wrapped,
)
from asyndbt.cli._run import Followed, add_display_flags, follow
from asyndbt.config import Config, starter_toml
from asyndbt.errors import ConfigError
from asyndbt.pocket import TASKS

_DEFAULT_TASK = "sentiment-consumer"


def add_demo(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "demo",
        help="tune for a small task at three sites, offline",
        description="Tune prompts for a small task at three sites with the pocket model: "
        "no key, no network, nothing to set up. With --real, a real language model on this "
        "machine answers.",
    )
    tasks = parser.add_mutually_exclusive_group()
    tasks.add_argument(
        "--task",
        choices=list(TASKS),
        metavar="NAME",
        help=f"task of the pocket model: one of {', '.join(TASKS)} (default: {_DEFAULT_TASK})",
    )
    tasks.add_argument(
        "--real",
        action="store_true",
        help="sentences about films and SmolLM2 135M in place of the pocket model and its tasks; "
        "takes some minutes, and says first what to install",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (0)")
    parser.add_argument("--dir", type=Path, help="directory of the record (runs/demo-...)")
    add_display_flags(parser)
    parser.set_defaults(execute=_demo)


def _demo(args: argparse.Namespace) -> None:
    task = demo_task(REVIEWS if args.real else args.task or _DEFAULT_TASK)
    task.check_installed()
    config = demo_config(task.name, args.seed, args.dir)
    if not args.json and not args.quiet:
        print(wrapped(f"{task.name}: {task.description}"))
    followed = follow(args, lambda observers: asyndbt.run.run_config(config, observers=observers))
    if not args.json:
        print(_outcome(task, followed))


def _outcome(task: DemoTask, followed: Followed) -> str:
    result = followed.result
    parts = [
        *(f"Warning: {text}" for text in followed.warnings),
        accuracy_table(result.data),
        prompts_text(result, task.fields),
        calls_text(result.data["ledger"], f" {task.charge}"),
        border_text(result.directory, followed.start),
        f"Record: {result.directory}",
        wrapped(task.caveat),
        "Next: asyndbt init asyndbt.toml   (a configuration to put your own data into)",
    ]
    return "\n\n".join(parts)


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
