"""``asyndbt predict DIR`` and ``asyndbt report DIR``: use and inspect the result of a run."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyndbt.run
from asyndbt._text import counted
from asyndbt.cli._streams import UNWRITABLE, json_line
from asyndbt.errors import ConfigError, DataError
from asyndbt.report import build_page, serve_page
from asyndbt.task import read_file


def add_predict(commands: argparse._SubParsersAction[Any]) -> None:
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
    parser.add_argument("--site", metavar="NAME", help="the site whose prompt is used")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="JSONL file to write (default: print)"
    )
    parser.set_defaults(execute=_predict)


def _predict(args: argparse.Namespace) -> None:
    if args.output is not None:
        _check_output(args.output, args.input)
    origins, rows = [], []
    for origin, row in read_file(args.input):
        origins.append(origin)
        rows.append(dict(row))
    predicted = asyndbt.run.Result(args.directory).predict(rows, args.site, origins=origins)
    failed = sum(row["scores"] is None for row in predicted)
    unparsed = sum(row["prediction"] is None for row in predicted) - failed
    for number, what in ((failed, "no answer for"), (unparsed, "no label in the answers to")):
        if number:
            told = f"{what} {number:,} of {counted(len(rows), 'row')}"
            print(f"asyndbt: warning: {told}", file=sys.stderr)
    if args.output is None:
        sys.stdout.writelines(json_line(row, sys.stdout) for row in predicted)
        return
    with args.output.open("w", encoding="utf-8", errors=UNWRITABLE, newline="\n") as file:
        file.writelines(json_line(row, file) for row in predicted)
    print(f"{counted(len(rows), 'prediction')}: {args.output}")


def _check_output(output: Path, source: Path) -> None:
    """Refuse an unusable output file before any answer is paid for."""
    if output.resolve() == source.resolve():
        raise DataError(f"{output}: this is the input: give --output another name")
    if output.suffix.lower() not in ("", ".jsonl", ".json"):
        raise DataError(f"{output}: predictions are written as JSON lines: name it .jsonl")
    if output.is_dir() or not output.resolve().parent.is_dir():
        raise DataError(f"{output}: cannot be written there: give --output a file in a directory")


def add_report(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "report",
        help="one HTML page on a run, finished or not",
        description="Write one self-contained HTML page on a run (finished or not) or a study, or "
        "follow a run in the browser.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="the page (NAME-report.html in this folder)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write no file, but serve the page on 127.0.0.1 until Ctrl-C; it follows the run",
    )
    parser.add_argument("--port", metavar="P", type=int, help="port for --watch (one that is free)")
    parser.set_defaults(execute=_report)


def _report(args: argparse.Namespace) -> None:
    if args.watch:
        _watch(args)
        return
    if args.port is not None:
        raise ConfigError("--port is for --watch: give both, or none")
    page = build_page(args.directory)
    output = args.output or Path(f"{args.directory.resolve().name}-report.html")
    output.write_text(page, encoding="utf-8")
    print(output)
    if args.open:
        webbrowser.open(output.resolve().as_uri())


def _watch(args: argparse.Namespace) -> None:
    if args.output is not None:
        raise ConfigError("--watch writes no file: leave --output out")
    with serve_page(args.directory, args.port or 0) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        print(f"{address}   (Ctrl-C ends it)", flush=True)
        if args.open:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
