"""``asyndbt estimate FILE``: what a run or a study will cost, before the first request."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyndbt._text import counted, duration
from asyndbt.cli._study import DATA
from asyndbt.config import load_config
from asyndbt.errors import AsyndbtError
from asyndbt.run import Estimate, estimate_run
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
        help="first ask the model a few times, as 'asyndbt check' does, and then, to time it, as "
        "often as the run does at once, 64 times at most: only an endpoint knows how many tokens "
        "a prompt has, and how fast it is; for a run only",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help=f"{DATA}; for a study only")
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
        found = estimate_study(load_study(args.file, args.data), args.seconds)
    elif args.data is not None:
        raise AsyndbtError(f"{args.file} is no study, and --data is for studies")
    else:
        found = estimate_run(load_config(args.file), args.seconds, probe=args.check)
    if args.json:
        print(json.dumps(asdict(found)))
    elif isinstance(found, StudyEstimate):
        _print_study(found)
    else:
        _print_run(found)


def _print_run(found: Estimate) -> None:
    _print_costs(found, f", of which up to {found.evaluation:,} for the final evaluation", ",.4g")
    if found.judgements:
        print(f"judge   up to {found.judgements:,} calls of its own, within task.judge.budget")
    speed = f"{found.seconds_per_request:.3g} s a request"
    if not found.free:
        speed += f" and at most {1 / found.seconds_per_answer:.2g} answers a second"
    print(f"time    {_time(found)} at {speed}")
    steps = counted(found.steps, "local step")
    print(f"tuning  {steps} of a site on made-up answers, until: {found.stop_reason}")
    if found.least != found.most:
        print("Lower figures are of that run, upper ones of all that budget and steps allow.")
    for text in found.warnings:
        print(f"Warning: {text}")


def _print_study(found: StudyEstimate) -> None:
    short = f", {found.short:,} with too small a budget" if found.short else ""
    print(f"runs    {found.runs:,}{short}")
    _print_costs(found, "; what runs have in common is asked for once", ",.2f")
    print(f"time    {_time(found)}, one run after the other")
    for method, ends in found.by_method.items():
        calls, money = ([getattr(end.usage, name) for end in ends] for name in ("calls", "money"))
        cost = "" if found.free or not found.priced else f", {_span(money, ',.2f')}"
        noun = "call" if calls == [1, 1] else "calls"
        print(f"  {method}: {_span(calls)} {noun}{cost}")


def _print_costs(found: Estimate | StudyEstimate, about_calls: str, form: str) -> None:
    ends = [found.least.usage, found.most.usage]
    calls, sent, received, money = (
        [getattr(end, name) for end in ends]
        for name in ("calls", "tokens_in", "tokens_out", "money")
    )
    price = _span(money, form) if found.priced else "unknown: set lm.price_in and lm.price_out"
    print(f"calls   {_span(calls)}{about_calls}")
    print(f"tokens  {_span(sent)} sent, {_span(received)} received")
    print(f"money   {'none' if found.free else price}")


def _time(found: Estimate | StudyEstimate) -> str:
    return _range(duration(end.seconds) for end in (found.least, found.most))


def _span(ends: Iterable[float], form: str = ",") -> str:
    return _range(format(end, form) for end in ends)


def _range(ends: Iterable[str]) -> str:
    """Return two texts as a range, or one if they are equal."""
    return " to ".join(dict.fromkeys(ends))
