"""``asyndbt run FILE``: tune as a configuration file says."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyndbt import run as facade
from asyndbt.cli.session import add_display_flags, follow
from asyndbt.cli.summary import outcome
from asyndbt.config import Config, load_config
from asyndbt.errors import AsyndbtError
from asyndbt.study import is_study

if TYPE_CHECKING:
    from asyndbt.run import Observer, Result

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="tune prompts as a configuration file says",
        description="Tune prompts as a configuration file says. "
        "The record goes to a directory; Ctrl-C keeps it, and 'asyndbt resume' goes on from it.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument("--dir", type=Path, help="directory of the record, in place of run.dir")
    add_display_flags(parser)
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Run it."""
    if is_study(args.file):
        raise AsyndbtError(f"{args.file} is a study: asyndbt study {shlex.quote(str(args.file))}")
    config = load_config(args.file)
    if args.dir is not None:
        config = config.override({"run.dir": args.dir})
    done = follow(args, lambda observers: _carry_out(config, observers))
    if not args.json:
        print(outcome(done.result))


def _carry_out(config: Config, observers: Sequence[Observer]) -> Result:
    if config.federation.engine == "flower":
        from asyndbt.deploy.submit import submit_run

        return submit_run(config, observers=observers)
    return facade.run_config(config, observers=observers)
