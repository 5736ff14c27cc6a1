"""``asyndbt init [FILE]``: write a commented configuration to start from."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from asyndbt.cli._demo import DEFAULT_TASK, demo_values
from asyndbt.config import Config, starter_toml
from asyndbt.errors import ConfigError

__all__ = ["add_init"]


def add_init(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
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
    parser.add_argument("--force", action="store_true", help="write over an existing file")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Write it."""
    text = starter_toml(Config, demo_values(DEFAULT_TASK))
    try:
        with args.file.open("w" if args.force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{args.file}: exists already: give another name, or --force to write over it"
        ) from None
    print(f"{args.file} is written. Try it as it stands, then put your own data in:")
    print(f"    asyndbt run {shlex.quote(str(args.file))}")
