"""``asyndbt estimate FILE``: what a run or a study will cost, before the first request."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyndbt._text import counted, duration
from asyndbt.config import load_config
from asyndbt.errors import AsyndbtError
from asyndbt.run import USEFUL_STEPS, Estimate, estimate_run
from asyndbt.study import StudyEstimate, estimate_study, is_study, load_study


def add_estimate(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "estimate",
        help="estimate the cost of a run or a study",
        description="Simulate a run with made-up answers in place of a language model, and print "
        "how many requests, how many tokens, how much money and time it takes. For a study, add "
        "up what its runs take.",
    )
    parser.add_argument(
        "file", metavar="FILE.toml", type=Path, help="the configuration, or the study"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="time of a request to an endpoint (1); 'asyndbt check' measures it",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="first ask the model a few times, as 'asyndbt check' does: only an endpoint knows "
        "how many tokens a prompt has; for a run only",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    found: Estimate | StudyEstimate
    if is_study(args.file):
        if args.check:
            raise AsyndbtError(
                f"{args.file} is a study, and --check is for a run: 'asyndbt check' with a "
                "configuration of one run measures the time of a request, for --seconds"
            )
        found = estimate_study(load_study(args.file), args.seconds)
    else:
        found = estimate_run(load_config(args.file), args.seconds, probe=args.check)
    if args.json:
        print(json.dumps(asdict(found)))
    elif isinstance(found, StudyEstimate):
        _print_study(found)
    else:
        _print_run(found)


def _print_run(found: Estimate) -> None:
    calls = f"{found.usage.calls:,}, of which up to {found.evaluation:,} for the final evaluation"
    _print_usage(found, calls, ",.4g")
    print(f"time    {duration(found.seconds)} at {found.seconds_per_request:.3g} s a request")
    print(f"tuning  {counted(found.steps, 'local step')} of a site, until: {found.stop_reason}")
    if found.stop_reason in ("converged", "nothing new to ask"):
        print("        (on made-up answers; real ones may go on to the end of the budget)")
    if found.steps < USEFUL_STEPS:
        print(
            f"Warning: fewer than {USEFUL_STEPS} local steps tune hardly anything; give more "
            "budget or iterations, or lower method.draws or method.batch_size"
        )


def _print_study(found: StudyEstimate) -> None:
    short = f", {found.short:,} with too small a budget" if found.short else ""
    print(f"runs    {found.runs:,}{short}")
    calls = f"about {found.usage.calls:,}; what runs have in common is asked for once"
    _print_usage(found, calls, ",.2f")
    print(f"time    {duration(found.seconds)}, one run after the other")
    for method, part in found.by_method.items():
        cost = "" if found.free or not found.priced else f", {part.money:,.2f}"
        print(f"  {method}: {counted(part.calls, 'call')}{cost}")


def _print_usage(found: Estimate | StudyEstimate, calls: str, form: str) -> None:
    usage = found.usage
    money = (
        format(usage.money, form) if found.priced else "unknown: set lm.price_in and lm.price_out"
    )
    print(f"calls   {calls}")
    print(f"tokens  {usage.tokens_in:,} sent, {usage.tokens_out:,} received")
    print(f"money   {'none' if found.free else money}")
