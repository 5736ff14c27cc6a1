"""``asyndbt serve DIR`` and ``asyndbt serve-model pocket``: endpoints, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import asyndbt.run
from asyndbt.config import is_loopback
from asyndbt.errors import ConfigError
from asyndbt.pocket import PocketServer
from asyndbt.serving import PromptServer

_PORTS = range(2**16)
_POCKET_GREETING = """\
The pocket model answers at {url} (Ctrl-C ends it). In a configuration, in place of the table there:

[lm]
provider = "openai"
base_url = "{url}"
model = "pocket\""""


def add_serve(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve the tuned prompts of a run as an OpenAI-compatible endpoint",
        description="Answer chat completions over HTTP: the message is the text to label, the "
        "model a site, and the answer its label, which the run's language model gives under the "
        "site's tuned prompt. Ctrl-C ends it.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    _add_address(parser)
    parser.set_defaults(execute=_serve)


def _serve(args: argparse.Namespace) -> None:
    result = asyndbt.run.Result(args.directory)
    if not result.sites:
        raise ConfigError(f"{args.directory}: the run has no tuned prompt here")
    if not is_loopback(f"{args.host}:{args.port}"):
        told = "whoever reaches this address asks the language model, at your cost"
        print(f"asyndbt: warning: --host {args.host}: {told}", file=sys.stderr)
    _run(
        lambda: PromptServer(result, args.host, args.port, verbose=args.verbose),
        "{url} answers with labels (Ctrl-C ends it). Models: " + ", ".join(result.sites),
        args,
    )


def add_serve_model(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "serve-model",
        help="serve the pocket model as an OpenAI-compatible endpoint, offline",
        description="Answer chat completions over HTTP with the pocket model, to try "
        'provider = "openai" without a key. Ctrl-C ends it.',
    )
    parser.add_argument("model", choices=["pocket"], metavar="pocket", help="the model to serve")
    _add_address(parser)
    parser.set_defaults(execute=_serve_model)


def _serve_model(args: argparse.Namespace) -> None:
    _run(lambda: PocketServer(args.host, args.port, verbose=args.verbose), _POCKET_GREETING, args)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="port (8000); 0: any free one")
    parser.add_argument("--verbose", action="store_true", help="a line per request, without texts")


def _run(
    start: Callable[[], PocketServer | PromptServer], greeting: str, args: argparse.Namespace
) -> None:
    """Serve until Ctrl-C."""
    try:
        server = start()
    except OSError as error:
        raise ConfigError(
            f"--host {args.host} --port {args.port}: {error.strerror or error}: give another "
            "address, or --port 0 for any free one"
        ) from error
    with suppress(KeyboardInterrupt), threadpool_limits(limits=1, user_api="blas"), server:
        print(greeting.replace("{url}", server.url), flush=True)
        while True:
            time.sleep(3600)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) in _PORTS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give 0 to {_PORTS[-1]}")
    return int(text)
