"""``asyndbt propose FILE``: hints that a site's model writes, in a file for a person to read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asyndbt._text import counted
from asyndbt.config import Config, is_site_file, load_config, load_site_file
from asyndbt.errors import AsyndbtError
from asyndbt.hints import pool_files
from asyndbt.run import propose_hints


def add_propose(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "propose",
        help="let a site's model write hints for the vocabulary",
        description="Ask the language model of one site for hints, and write those that repeat "
        "no text of the site into a file, one on a line: read it, and remove what must not leave "
        "the site. --pool makes one vocabulary of the files of several sites.",
    )
    parser.add_argument(
        "file",
        metavar="FILE.toml",
        type=Path,
        nargs="?",
        help="the configuration, or a site's own file",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="the file to write"
    )
    parser.add_argument("--site", metavar="NAME", help="the site, where the data are of several")
    parser.add_argument(
        "--pool", metavar="HINTS", type=Path, nargs="+", help="files of the sites, to be pooled"
    )
    parser.set_defaults(execute=_propose)


def _propose(args: argparse.Namespace) -> None:
    if (args.file is None) == (args.pool is None):
        raise AsyndbtError("give a configuration, or --pool and the files of the sites")
    if args.output.exists():
        raise AsyndbtError(f"{args.output} exists, and may have been read: name another file")
    if args.pool is not None:
        pooled = pool_files(args.pool)
        _write(args.output, pooled)
        print(f"{counted(len(pooled), 'hint')} of {counted(len(args.pool), 'site')}:")
        print(f'[method]\nvocabulary = "{args.output}"')
        return
    found = propose_hints(_config(args.file), args.site)
    _write(args.output, found.hints)
    print(
        f"{args.output}: {counted(len(found.hints), 'hint')}, for "
        f"{counted(found.spent.calls, 'call')} and {counted(found.spent.tokens, 'token')}; "
        f"{found.copied:,} more repeat texts of the site and were left out.\n"
        "Read them, and remove what must not leave the site."
    )


def _config(file: Path) -> Config:
    if not is_site_file(file):
        return load_config(file)
    own = load_site_file(file)
    return own.private(own.shared(), file.resolve().parent)


def _write(file: Path, hints: Sequence[str]) -> None:
    file.write_text("".join(f"{hint}\n" for hint in hints), encoding="utf-8", newline="\n")
