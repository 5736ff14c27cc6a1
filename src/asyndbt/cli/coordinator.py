"""``asyndbt coordinator start FILE``: listen for sites."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asyndbt.config import load_config

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "coordinator",
        help="listen for sites on other machines",
        description="The coordinator of a federation across machines (docs/three-hospitals.md).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    start = actions.add_parser("start", help="listen until stopped by Ctrl-C or SIGTERM")
    start.add_argument("file", metavar="FILE.toml", type=Path, help="the file that sites share")
    start.add_argument(
        "--insecure", action="store_true", help="without encryption or keys: for a trial only"
    )
    start.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Start it."""
    from asyndbt.deploy.start import start_coordinator

    start_coordinator(load_config(args.file), args.insecure, lambda text: print(text, flush=True))
