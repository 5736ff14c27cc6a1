"""``asyndbt resume DIR``: go on with a run that was stopped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyndbt import run as facade
from asyndbt.cli.session import add_display_flags, follow
from asyndbt.cli.summary import outcome
from asyndbt.config import load_config
from asyndbt.errors import ConfigError

if TYPE_CHECKING:
    from asyndbt.run import Observer, Result

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
    done = follow(args, lambda observers: _go_on(args.directory, budget, observers), args.directory)
    if not args.json:
        print(outcome(done.result))


def _go_on(directory: Path, budget: dict[str, Any], observers: Sequence[Observer]) -> Result:
    file = directory / "config.toml"
    if not file.exists() or load_config(file).federation.engine != "flower":
        return facade.resume_run(directory, budget=budget, observers=observers)
    if budget:
        raise ConfigError(
            "--budget: the budget of a run across sites is in the file that all of them share: "
            "change it there, and start another run"
        )
    from asyndbt.deploy.submit import submit_again

    return submit_again(directory, observers=observers)


def _caps(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``calls=20000`` and the like; a key of [budget] may have a table before it."""
    caps: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        *path, last = key.split(".")
        table = caps
        for part in path:
            table = table.setdefault(part, {}) if isinstance(table, dict) else table
        try:
            table[last] = json.loads(value)
        except (json.JSONDecodeError, TypeError):
            raise ConfigError(f"--budget {pair}: write it as calls=20000") from None
    return caps
