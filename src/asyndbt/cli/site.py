"""``asyndbt site start --config site.toml``: take part in runs, with the data of this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "site",
        help="take part in runs with this machine's data",
        description="A site of a federation across machines (docs/three-hospitals.md).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    start = actions.add_parser("start", help="take part until stopped by Ctrl-C or SIGTERM")
    start.add_argument(
        "--config", metavar="site.toml", type=Path, required=True, help="the site's own file"
    )
    start.add_argument(
        "--insecure", action="store_true", help="without encryption or a key: for a trial only"
    )
    start.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Start it."""
    from asyndbt.deploy.start import start_site

    start_site(args.config.resolve(), args.insecure, lambda text: print(text, flush=True))
