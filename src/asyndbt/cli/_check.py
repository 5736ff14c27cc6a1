"""``asyndbt check FILE``: a language model on its own."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyndbt._text import counted
from asyndbt.config import load_config
from asyndbt.lm import Usage
from asyndbt.run import check_run


def add_check(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "check",
        help="find out what the language model can do, by a few requests",
        description="Load the data of a configuration and ask its language model a few times what "
        "it can do: log-probabilities, roles, the names of its parameters. A run does the same at "
        "its start, and records it; what it would warn of is told here too.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(execute=_check)


def _check(args: argparse.Namespace) -> None:
    found = check_run(load_config(args.file))
    if args.json:
        print(json.dumps(asdict(found)))
        return
    facts = {"kept as": found.model, **found.probe.facts}
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<{width}}  {_fact_text(value)}")
    print(
        f"Asked: {_cost_text(found.probe.usage)}. "
        f"All {counted(found.prompts, 'query', 'queries')} of {', '.join(found.sites)} fit."
    )
    if found.judge is not None:
        print(f"Asked of the judge: {_cost_text(found.judge.usage)}.")
    for text in found.warnings:
        print(f"Warning: {text}")


def _cost_text(usage: Usage) -> str:
    return f"{counted(usage.calls, 'request')}, {counted(usage.tokens, 'token')}"


def _fact_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
