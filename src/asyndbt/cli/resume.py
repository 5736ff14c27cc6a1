"""``asyndbt resume DIR``: go on with a run that was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asyndbt import run as facade
from asyndbt.cli.session import add_display_flags, follow
from asyndbt.cli.summary import outcome
from asyndbt.config import load_config

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "resume",
        help="go on with a run that was stopped",
        description="Go on with a run that was stopped; no answer is paid for twice.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    add_display_flags(parser)
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Resume it."""
    carry_out = facade.resume_run
    if _is_across_sites(args.directory):
        from asyndbt.deploy.submit import submit_again as carry_out
    done = follow(
        args, lambda observers: carry_out(args.directory, observers=observers), args.directory
    )
    if not args.json:
        print(outcome(done.result))


def _is_across_sites(directory: Path) -> bool:
    file = directory / "config.toml"
    return file.exists() and load_config(file).federation.engine == "flower"
