"""``asyndbt landscape``: what kinds of prompts are worth on the demo tasks."""

from __future__ import annotations

import argparse
from typing import Any

from asyndbt.pocket import TASKS
from asyndbt.pocket.landscape import COLUMNS, landscape

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "landscape",
        help="show what kinds of prompts are worth on the demo tasks",
        description="Measure what kinds of prompts are worth on the demo tasks with the pocket "
        "model, in per cent correct: no demonstrations, random ones, wrong ones, fragments.",
    )
    parser.add_argument(
        "--task", choices=list(TASKS), metavar="NAME", help=f"one of {', '.join(TASKS)} (all)"
    )
    parser.add_argument("--rows", type=int, default=60, help="test rows per site (60)")
    parser.add_argument("--draws", type=int, default=16, help="draws per figure and site (16)")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Print one block per task, as soon as it is measured."""
    width = max(map(len, COLUMNS))
    for name in [args.task] if args.task else TASKS:
        figures = landscape(name, args.rows, args.draws)
        print(f"{name}: {TASKS[name].description}")
        for column in COLUMNS:
            print(f"    {column:<{width}}  {figures[column]:5.1f}")
        print(flush=True)
