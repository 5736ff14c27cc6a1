"""``asyndbt predict DIR --input FILE``: label new examples with a tuned prompt."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asyndbt import run as facade
from asyndbt.errors import DataError
from asyndbt.task import read_file

__all__ = ["add_predict"]


def add_predict(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        help="label new examples with a tuned prompt",
        description="Label new examples with a tuned prompt. "
        "Every row comes out as JSON, with a prediction and the score of each label.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.add_argument(
        "--input", metavar="FILE", type=Path, required=True, help="rows: .jsonl, .csv, .tsv, ..."
    )
    parser.add_argument("--site", metavar="NAME", help="whose prompt to use")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="JSONL file to write (default: print)"
    )
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Predict."""
    if args.output is not None:
        _check_output(args.output, args.input)
    rows = [dict(row) for _, row in read_file(args.input)]
    found = facade.Result(args.directory).predict(rows, args.site)
    missing = sum(row["scores"] is None for row in found)
    if missing:
        print(
            f"asyndbt: warning: {missing:,} of {len(rows):,} rows have no answer", file=sys.stderr
        )
    lines = _lines(found)
    if args.output is None:
        sys.stdout.writelines(lines)
        return
    with args.output.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
    print(f"{len(rows):,} predictions: {args.output}")


def _check_output(output: Path, source: Path) -> None:
    """Find out before any answer is paid for that there is no place for it."""
    if output.resolve() == source.resolve():
        raise DataError(f"{output}: this is the input: give --output another name")
    if output.suffix.lower() not in ("", ".jsonl", ".json"):
        raise DataError(f"{output}: predictions are written as JSON lines: name it .jsonl")
    if output.is_dir() or not output.resolve().parent.is_dir():
        raise DataError(f"{output}: cannot be written there: give --output a file in a directory")


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False, default=str) + "\n"
