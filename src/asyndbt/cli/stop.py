"""``asyndbt stop DIR``: stop a run across sites."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "stop",
        help="stop a run across sites",
        description="Stop a run of a federation across machines; 'asyndbt resume' goes on with it. "
        "Coordinator and sites go on listening; Ctrl-C or SIGTERM ends them.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Stop it."""
    from asyndbt.deploy.submit import stop_run

    stop_run(args.directory)
    print(f"stopped; go on with: asyndbt resume {args.directory}")
