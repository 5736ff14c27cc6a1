"""``asyndbt export DIR``: a tuned prompt as a file for another tool."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import asyndbt.run
from asyndbt.cli._streams import UNWRITABLE
from asyndbt.export import FORMATS, export_prompt


def add_export(commands: argparse._SubParsersAction[Any]) -> None:
    formats = "\n".join(f"  {name:<10} {each.summary}" for name, each in FORMATS.items())
    parser = commands.add_parser(
        "export",
        help="write a tuned prompt as a file for another tool",
        description="Write a site's tuned prompt, byte for byte as it was scored, as\n\n" + formats,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.add_argument("--format", choices=FORMATS, required=True, metavar="NAME")
    parser.add_argument("--site", metavar="NAME", help="the site whose prompt is written")
    parser.add_argument("--output", metavar="FILE", type=Path, help="the file (default: print)")
    parser.set_defaults(execute=_export)


def _export(args: argparse.Namespace) -> None:
    export = export_prompt(asyndbt.run.Result(args.directory), args.format, args.site)
    for note in export.notes:
        print(f"asyndbt: warning: {note}", file=sys.stderr)
    if args.output is None:
        sys.stdout.write(export.content)
        return
    args.output.write_text(export.content, encoding="utf-8", errors=UNWRITABLE, newline="\n")
    print(args.output)
