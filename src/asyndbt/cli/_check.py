"""``asyndbt check FILE``: ask the language model of a configuration what it can do."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyndbt import run as facade
from asyndbt.config import load_config

__all__ = ["add_check"]


def add_check(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "check",
        help="find out what the language model can do, by a few requests",
        description="Load the data of a configuration and ask its language model a few times what "
        "it can do: log-probabilities, roles, the names of its parameters. A run does the same at "
        "its start, and records it.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Check it."""
    found = facade.check_model(load_config(args.file))
    if args.json:
        print(json.dumps(asdict(found)))
        return
    facts = {"kept as": found.model, **found.probe.facts}
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<{width}}  {_text(value)}")
    usage = found.probe.usage
    print(
        f"Asked: {usage.calls} requests, {usage.tokens:,} tokens. "
        f"All {found.prompts:,} queries of {', '.join(found.sites)} fit."
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
