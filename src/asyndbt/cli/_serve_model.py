"""``asyndbt serve-model pocket``: the pocket model as an OpenAI-compatible endpoint."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from typing import Any

from threadpoolctl import threadpool_limits

from asyndbt.errors import ConfigError
from asyndbt.pocket import PocketServer

__all__ = ["add_serve_model"]

_PORTS = range(2**16)


def add_serve_model(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "serve-model",
        help="answer as an OpenAI-compatible endpoint, offline",
        description="Answer chat completions over HTTP with the pocket model, to try "
        'provider = "openai" without a key. Ctrl-C ends it.',
    )
    parser.add_argument("model", choices=["pocket"], metavar="pocket", help="the model to serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="port (8000); 0: any free one")
    parser.add_argument("--verbose", action="store_true", help="a line per request, without texts")
    parser.set_defaults(execute=_execute)


def _execute(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    try:
        server = PocketServer(args.host, args.port, verbose=args.verbose)
    except OSError as error:
        raise ConfigError(
            f"--host {args.host} --port {args.port}: {error.strerror or error}: give another "
            "address, or --port 0 for any free one"
        ) from error
    with suppress(KeyboardInterrupt), threadpool_limits(limits=1, user_api="blas"), server:
        print(_greeting(server.url), flush=True)
        while True:
            time.sleep(3600)


def _greeting(url: str) -> str:
    return f"""\
The pocket model answers at {url} (Ctrl-C ends it). In a configuration:

[lm]
provider = "openai"
base_url = "{url}"
model = "pocket\""""


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) in _PORTS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give 0 to {_PORTS[-1]}")
    return int(text)
