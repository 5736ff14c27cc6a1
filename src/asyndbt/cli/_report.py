"""``asyndbt report DIR``: one HTML page on a run or a study."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyndbt.errors import ConfigError
from asyndbt.report import build_page, serve_page

__all__ = ["add_report"]


def add_report(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
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
        help="write nothing, but serve the page on 127.0.0.1 until Ctrl-C; it follows the run",
    )
    parser.add_argument("--port", metavar="P", type=int, help="port for --watch (one that is free)")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Write the page, or serve it."""
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
        print(f"{address}   (Ctrl-C ends it)")
        sys.stdout.flush()
        if args.open:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
