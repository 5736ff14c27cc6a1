"""``asyndbt status FILE``: which sites are connected, and which runs there are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asyndbt.config import load_config

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "status",
        help="show connected sites and runs of a federation",
        description="At the coordinator: which nodes are connected, and which runs there are.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the file that sites share")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Show it."""
    from asyndbt.deploy.register import status_lines

    for line in status_lines(load_config(args.file)):
        print(line)
