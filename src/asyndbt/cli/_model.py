"""``asyndbt check FILE`` and ``asyndbt serve-model pocket``: a language model on its own."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from asyndbt._text import counted
from asyndbt.config import load_config
from asyndbt.errors import ConfigError
from asyndbt.pocket import PocketServer
from asyndbt.run import check_run

_PORTS = range(2**16)
_GREETING = """\
The pocket model answers at {url} (Ctrl-C ends it). In a configuration, in place of the table there:

[lm]
provider = "openai"
base_url = "{url}"
model = "pocket\""""


def add_check(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "check",
        help="find out what the language model can do, by a few requests",
        description="Load the data of a configuration and ask its language model a few times what "
        "it can do: log-probabilities, roles, the names of its parameters. A run does the same at "
        "its start, and records it; what it would warn of is told here too.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="the configuration")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(execute=_check)


def _check(args: argparse.Namespace) -> None:
    found = check_run(load_config(args.file))
    if args.json:
        print(json.dumps(asdict(found)))
        return
    facts = {"kept as": found.model, **found.probe.facts}
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<{width}}  {_fact_text(value)}")
    usage = found.probe.usage
    print(
        f"Asked: {counted(usage.calls, 'request')}, {counted(usage.tokens, 'token')}. "
        f"All {counted(found.prompts, 'query', 'queries')} of {', '.join(found.sites)} fit."
    )
    for text in found.warnings:
        print(f"Warning: {text}")


def _fact_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def add_serve_model(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "serve-model",
        help="serve the pocket model as an OpenAI-compatible endpoint, offline",
        description="Answer chat completions over HTTP with the pocket model, to try "
        'provider = "openai" without a key. Ctrl-C ends it.',
    )
    parser.add_argument("model", choices=["pocket"], metavar="pocket", help="the model to serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="port (8000); 0: any free one")
    parser.add_argument("--verbose", action="store_true", help="a line per request, without texts")
    parser.set_defaults(execute=_serve_model)


def _serve_model(args: argparse.Namespace) -> None:
    try:
        server = PocketServer(args.host, args.port, verbose=args.verbose)
    except OSError as error:
        raise ConfigError(
            f"--host {args.host} --port {args.port}: {error.strerror or error}: give another "
            "address, or --port 0 for any free one"
        ) from error
    with suppress(KeyboardInterrupt), threadpool_limits(limits=1, user_api="blas"), server:
        print(_GREETING.format(url=server.url), flush=True)
        while True:
            time.sleep(3600)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) in _PORTS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give 0 to {_PORTS[-1]}")
    return int(text)
