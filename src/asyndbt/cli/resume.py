"""``asyndbt resume DIR``: go on with a run that was stopped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asyndbt import run as facade
from asyndbt.cli.session import add_display_flags, follow
from asyndbt.cli.summary import outcome
from asyndbt.errors import ConfigError

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "resume",
        help="go on with a run that was stopped",
        description="Go on with a run that was stopped; no answer is paid for twice. A run that "
        "ended because its budget was used up is tuned further with a larger one.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.add_argument(
        "--budget",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="another cap of the configuration's [budget], such as calls=20000 or "
        "per_site.calls=5000; may be given several times",
    )
    add_display_flags(parser)
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Resume it."""
    budget = _caps(args.budget)
    done = follow(
        args,
        lambda observers: facade.resume_run(args.directory, budget=budget, observers=observers),
        args.directory,
    )
    if not args.json:
        print(outcome(done.result))


def _caps(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``calls=20000`` and the like; a key of [budget] may have a table before it."""
    caps: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        *path, last = key.split(".")
        table = caps
        for part in path:
            table = table.setdefault(part, {})
        try:
            table[last] = json.loads(value)
        except json.JSONDecodeError:
            raise ConfigError(f"--budget {pair}: write it as calls=20000") from None
    return caps
