"""The command ``asyndbt``: arguments in, an exit code out.

0: done; 1: an error that the user can fix, one line each; 2: wrong usage; 130: Ctrl-C; 143:
SIGTERM.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from asyndbt.cli._check import add_check
from asyndbt.cli._completion import add_completion
from asyndbt.cli._demo import add_demo, add_init
from asyndbt.cli._estimate import add_estimate
from asyndbt.cli._export import add_export
from asyndbt.cli._federation import add_coordinator, add_keys, add_site, add_status, add_stop
from asyndbt.cli._propose import add_propose
from asyndbt.cli._results import add_predict, add_report
from asyndbt.cli._run import Interrupted, add_resume, add_run
from asyndbt.cli._serve import add_serve, add_serve_model
from asyndbt.cli._signals import sigterm_interrupts
from asyndbt.cli._streams import abandon_stdout, make_lenient
from asyndbt.cli._study import add_study
from asyndbt.errors import AsyndbtError

_EPILOG = """\
try it:            asyndbt demo
with your data:    asyndbt init asyndbt.toml   (then edit it)
                   asyndbt run asyndbt.toml
use the result:    asyndbt predict runs/asyndbt-seed0 --input new.csv
"""

_INTERRUPTED, _TERMINATED = 130, 143
"""128 and the number of the signal, as shells have it."""

_COMMANDS = (
    add_demo,
    add_init,
    add_check,
    add_estimate,
    add_propose,
    add_run,
    add_resume,
    add_predict,
    add_export,
    add_serve,
    add_report,
    add_study,
    add_serve_model,
    add_coordinator,
    add_site,
    add_keys,
    add_status,
    add_stop,
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asyndbt",
        description="Tune prompts for black-box language models across sites "
        "whose labelled data may not be pooled.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"asyndbt {version('asyndbt')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_command in _COMMANDS:
        add_command(commands)
    add_completion(commands, parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    make_lenient()
    args = build_parser().parse_args(argv)
    with sigterm_interrupts() as terminated:
        code = _code_of(args)
    return _TERMINATED if code == _INTERRUPTED and terminated() else code


def _code_of(args: argparse.Namespace) -> int:
    """Execute a command and return its exit code; errors are told."""
    try:
        args.execute(args)
        sys.stdout.flush()
    except Interrupted as stop:
        _complain("stopped", f"go on with: {stop.command}")
        return _INTERRUPTED
    except KeyboardInterrupt:
        _complain("stopped", "before anything was recorded")
        return _INTERRUPTED
    except BrokenPipeError:
        abandon_stdout()  # the reader is gone (`| head`)
        return 1
    except AsyndbtError as error:
        for line in str(error).splitlines():
            _complain("error", line)
        for note in getattr(error, "__notes__", ()):
            _complain("stopped", note)
        return 1
    except OSError as error:
        _complain("error", f"{error.filename or 'system'}: {error.strerror or error}")
        try:
            sys.stdout.flush()
        except OSError:
            abandon_stdout()  # it is what cannot be written to
        return 1
    return 0


def _complain(kind: str, text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(f"asyndbt: {kind}: {text}", file=sys.stderr)
