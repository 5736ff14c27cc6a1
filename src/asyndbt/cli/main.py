"""The command ``asyndbt``: arguments in, an exit code out.

0: done; 1: an error that the user can mend, told in one line each; 2: wrong usage; 130: Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from asyndbt.cli import (
    check,
    coordinator,
    demo,
    estimate,
    init,
    keys,
    landscape,
    predict,
    report,
    resume,
    run,
    serve_model,
    site,
    status,
    stop,
    study,
)
from asyndbt.cli.session import Interrupted
from asyndbt.errors import AsyndbtError

__all__ = ["build_parser", "main"]

_EPILOG = """\
try it:            asyndbt demo
with your data:    asyndbt init asyndbt.toml   (then edit it)
                   asyndbt run asyndbt.toml
use the result:    asyndbt predict runs/asyndbt-seed0 --input new.csv
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="asyndbt",
        description="Tune prompts for black-box language models across sites "
        "whose labelled data may not be pooled.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"asyndbt {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    alone = (demo, init, check, estimate, run, resume, predict, report, study)
    others = (landscape, serve_model, coordinator, site, keys, status, stop)
    for command in (*alone, *others):
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        args.execute(args)
        sys.stdout.flush()
    except Interrupted as stop:
        _complain("stopped", f"go on with: {stop.command}")
        return 130
    except KeyboardInterrupt:
        _complain("stopped", "before anything was recorded")
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`); without this, Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AsyndbtError as error:
        for line in str(error).splitlines():
            _complain("error", line)
        for note in getattr(error, "__notes__", ()):
            _complain("stopped", note)
        return 1
    except OSError as error:
        _complain("error", f"{error.filename or 'system'}: {error.strerror or error}")
        return 1
    return 0


def _complain(kind: str, text: str) -> None:
    print(f"asyndbt: {kind}: {text}", file=sys.stderr)


def _version() -> str:
    try:
        return version("asyndbt")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
