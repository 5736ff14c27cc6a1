"""``asyndbt resume DIR``: go on with a run that was stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyndbt import run as facade
from asyndbt.cli.session import add_display_flags, follow
from asyndbt.cli.summary import outcome
from asyndbt.config import load_config

if TYPE_CHECKING:
    from asyndbt.run import Observer, Result

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
    done = follow(args, lambda observers: _go_on(args.directory, observers), args.directory)
    if not args.json:
        print(outcome(done.result))


def _go_on(directory: Path, observers: Sequence[Observer]) -> Result:
    file = directory / "config.toml"
    if file.exists() and load_config(file).federation.engine == "flower":
        from asyndbt.deploy.submit import submit_again

        return submit_again(directory, observers=observers)
    return facade.resume_run(directory, observers=observers)
