"""``asyndbt completion bash | zsh``: what a shell needs to complete the command's words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from asyndbt.errors import MissingExtraError

_SHELLS = ("bash", "zsh")


def add_completion(
    commands: argparse._SubParsersAction[Any], whole: argparse.ArgumentParser
) -> None:
    """Add the command; it completes the parser `whole`, with all that is added to it."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes this command in a shell",
        description="Print a script for a shell. In ~/.bashrc: "
        'eval "$(asyndbt completion bash)"; for zsh: '
        "asyndbt completion zsh > _asyndbt, in a directory of $fpath.",
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell")
    parser.set_defaults(execute=partial(_print_script, whole))


def _print_script(whole: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError:
        raise MissingExtraError("shtab", "completion") from None
    for action in _actions(whole):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(whole, args.shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of all commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
