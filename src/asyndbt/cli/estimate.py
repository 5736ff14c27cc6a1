"""``asyndbt estimate FILE``: what a run will cost, before the first request."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyndbt import run as facade
from asyndbt.cli.figures import clock_text
from asyndbt.config import load_config

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "estimate",
        help="tell what a run will cost, before it",
        description="Play a run through with the code of the run and answers out of the air, and "
        "tell how many requests, how many tokens, how much money and time it takes.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="time of a request to an endpoint (1); 'asyndbt check' measures it",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="first ask the model a few times, as 'asyndbt check' does: an endpoint alone knows "
        "how many tokens a prompt has",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Estimate it."""
    found = facade.estimate_run(load_config(args.file), args.seconds, probe=args.check)
    if args.json:
        print(json.dumps(asdict(found)))
        return
    usage = found.usage
    money = f"{usage.money:,.4g}" if found.priced else "unknown: set lm.price_in and lm.price_out"
    free = found.free
    print(f"calls   {usage.calls:,}, of which up to {found.evaluation:,} for the final evaluation")
    print(f"tokens  {usage.tokens_in:,} sent, {usage.tokens_out:,} received")
    print(f"money   {'none' if free else money}")
    print(f"time    {clock_text(found.seconds)} at {found.seconds_per_request:.3g} s a request")
    print(f"tuning  {found.steps:,} steps of a site at least, until: {found.stop_reason}")
    if found.steps < facade.USEFUL_STEPS:
        print(
            f"Warning: fewer than {facade.USEFUL_STEPS} steps tune hardly anything; give more "
            "budget or iterations, or lower data.validation_per_class or method.random_icl_draws"
        )
