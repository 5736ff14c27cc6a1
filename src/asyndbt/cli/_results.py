"""``asyndbt predict DIR`` and ``asyndbt report DIR``: use and inspect the result of a run."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO, cast

import asyndbt.run
from asyndbt._text import counted, listed
from asyndbt.cli._streams import UNWRITABLE, batches_of_lines, json_line
from asyndbt.errors import ConfigError, DataError
from asyndbt.report import build_comparison, build_page, serve_page
from asyndbt.task import read_file


def add_predict(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "predict",
        help="label or answer new examples with a tuned prompt",
        description="Label or answer new examples with a tuned prompt. "
        "Every row comes out as JSON, with a prediction and the score of each label; of a task "
        "with a reward, with the answer and its reward where the row has what is expected. Without "
        "--input, lines of JSON are read from standard input and answered as they come.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--input", metavar="FILE", type=Path, help="rows: .jsonl, .csv, .tsv, ... (standard input)"
    )
    source.add_argument(
        "--text",
        action="store_true",
        help="every line of standard input is the text of the instruction's only field, not JSON",
    )
    parser.add_argument("--site", metavar="NAME", help="the site whose prompt is used")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="JSONL file to write (default: print)"
    )
    parser.set_defaults(execute=_predict)


def _predict(args: argparse.Namespace) -> None:
    if args.output is not None:
        _check_output(args.output, args.input)
    result = asyndbt.run.Result(args.directory)
    if args.input is None:
        column = _only_column(result, args.site) if args.text else None
        lines = cast(BufferedIOBase, sys.stdin.buffer)
        predicted = result.predict_batches(batches_of_lines(lines, column), args.site)
    else:
        rows = [(origin, dict(row)) for origin, row in read_file(args.input)]
        predicted = iter(list(result.predict_batches([rows], args.site)))
    if args.output is None:
        _write(predicted, sys.stdout)
        return
    first = list(islice(predicted, 1))  # what an older output holds is kept until there is more
    with args.output.open("w", encoding="utf-8", errors=UNWRITABLE, newline="\n") as file:
        written = _write(chain(first, predicted), file)
    print(f"{counted(written, 'prediction')}: {args.output}")


def _write(predicted: Iterator[list[dict[str, Any]]], stream: TextIO) -> int:
    """Write every batch when it is there; return the number of rows, and warn of some."""
    rows, failed, unparsed = 0, 0, 0
    try:
        for batch in predicted:
            stream.writelines(json_line(row, stream) for row in batch)
            stream.flush()
            rows += len(batch)
            # Where there are no labels, an answer is its prediction.
            scores = [row.get("scores", row["prediction"]) for row in batch]
            failed += sum(score is None for score in scores)
            unparsed += sum(
                score is not None and row["prediction"] is None
                for score, row in zip(scores, batch, strict=True)
            )
    finally:
        for number, what in ((failed, "no answer for"), (unparsed, "no label in the answers to")):
            if number:
                told = f"{what} {number:,} of {counted(rows, 'row')}"
                print(f"asyndbt: warning: {told}", file=sys.stderr)
    return rows


def _only_column(result: asyndbt.run.Result, site: str | None) -> str:
    first, *others = result.columns(site)
    if others:
        raise ConfigError(f"--text: a row has the columns {listed([first, *others])}: give JSON")
    return first


def _is_standard_input(file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stdin.fileno()), file.stat())
    except (OSError, ValueError):  # no such file, or a stream that is none
        return False


def _check_output(output: Path, source: Path | None) -> None:
    """Refuse an unusable output file before any answer is paid for."""
    is_input = (
        _is_standard_input(output) if source is None else output.resolve() == source.resolve()
    )
    if is_input:
        raise DataError(f"{output}: this is the input: give --output another name")
    if output.suffix.lower() not in ("", ".jsonl", ".json"):
        raise DataError(f"{output}: predictions are written as JSON lines: name it .jsonl")
    if output.is_dir() or not output.resolve().parent.is_dir():
        raise DataError(f"{output}: cannot be written there: give --output a file in a directory")


def add_report(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "report",
        help="one HTML page on a run, finished or not",
        description="Write one self-contained HTML page on a run (finished or not), on two side by "
        "side, or on a study, or follow a run in the browser.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.add_argument("other", metavar="DIR", type=Path, nargs="?", help="a run to compare with")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="the page (NAME-report.html in this folder)"
    )
    parser.add_argument(
        "--errors",
        action="store_true",
        help="show the test examples that are still wrong, with their texts: not to be passed on",
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
    names = [each.resolve().name for each in (args.directory, args.other) if each is not None]
    if args.other is None:
        page = build_page(args.directory, errors=args.errors)
    elif args.errors:
        raise ConfigError("--errors shows one run's examples: name one directory")
    else:
        page = build_comparison(args.directory, args.other)
    output = args.output or Path(f"{'-and-'.join(names)}-report.html")
    output.write_text(page, encoding="utf-8")
    print(output)
    if args.open:
        webbrowser.open(output.resolve().as_uri())


def _watch(args: argparse.Namespace) -> None:
    if args.output is not None:
        raise ConfigError("--watch writes no file: leave --output out")
    if args.errors:
        raise ConfigError("--watch follows a run, --errors is for a finished one: give one of them")
    if args.other is not None:
        raise ConfigError("--watch follows one run: name one directory")
    with serve_page(args.directory, args.port or 0) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        print(f"{address}   (Ctrl-C ends it)", flush=True)
        if args.open:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
