"""The commands of a federation across machines (``docs/three-hospitals.md``).

``coordinator start``, ``site start``, ``keys new | register | tls``, ``status``, ``stop``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from asyndbt.config import load_config
from asyndbt.deploy import (
    new_certificates,
    new_key,
    register_key,
    start_coordinator,
    start_site,
    status_lines,
    stop_run,
)

_SHARED_FILE = "the configuration that all sites share"
_print = partial(print, flush=True)


def add_coordinator(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "coordinator",
        help="listen for sites on other machines",
        description="The coordinator of a federation across machines (docs/three-hospitals.md).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    start = actions.add_parser("start", help="listen until stopped by Ctrl-C or SIGTERM")
    start.add_argument("file", metavar="FILE.toml", type=Path, help=_SHARED_FILE)
    start.add_argument(
        "--insecure", action="store_true", help="without encryption or keys: for a trial only"
    )
    start.set_defaults(execute=_start_coordinator)


def _start_coordinator(args: argparse.Namespace) -> None:
    start_coordinator(load_config(args.file), args.insecure, _print)


def add_site(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "site",
        help="take part in runs with this machine's data",
        description="A site of a federation across machines (docs/three-hospitals.md).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    start = actions.add_parser("start", help="take part until stopped by Ctrl-C or SIGTERM")
    start.add_argument(
        "--config", metavar="site.toml", type=Path, required=True, help="the site's own file"
    )
    start.add_argument(
        "--insecure", action="store_true", help="without encryption or a key: for a trial only"
    )
    start.set_defaults(execute=_start_site)


def _start_site(args: argparse.Namespace) -> None:
    start_site(args.config.resolve(), args.insecure, _print)


def add_keys(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "keys",
        help="make and register keys and certificates",
        description="Keys and certificates of a federation across machines "
        "(docs/three-hospitals.md).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="at a site: make its key pair, FILE and FILE.pub")
    new.add_argument("file", metavar="FILE", type=Path, help="private key to write")
    new.set_defaults(execute=_new)
    register = actions.add_parser("register", help="at the coordinator: admit a site's key")
    register.add_argument("file", metavar="FILE.toml", type=Path, help=_SHARED_FILE)
    register.add_argument("key", metavar="KEY.pub", type=Path, help="the site's public key")
    register.add_argument("--site", help="whose key it is (the name of its file)")
    register.set_defaults(execute=_register)
    tls = actions.add_parser("tls", help="at the coordinator: make its certificate")
    tls.add_argument("host", metavar="HOST", help="name or address by which sites dial it")
    tls.add_argument("--out", type=Path, default=Path("tls"), help="directory (tls)")
    tls.set_defaults(execute=_tls)


def _new(args: argparse.Namespace) -> None:
    private, public = new_key(args.file)
    print(f"{private} is the site's secret: it stays here, as coordinator.key of site.toml")
    print(f"{public} goes to the coordinator: asyndbt keys register FILE.toml {public.name}")


def _register(args: argparse.Namespace) -> None:
    node = register_key(load_config(args.file), args.key, args.site)
    print(f"node {node} may connect with {args.key}; nobody else has its site's name")


def _tls(args: argparse.Namespace) -> None:
    certificate, secret, root = new_certificates(args.host, args.out)
    print("[federation.flower]")
    print(f'certificate = "{certificate}"\ncertificate_key = "{secret}"')
    print(f'root_certificate = "{root}"  # goes to every site too, as coordinator.root_certificate')


def add_status(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "status",
        help="show connected sites and runs of a federation",
        description="At the coordinator: which nodes are connected, and which runs there are.",
    )
    parser.add_argument("file", metavar="FILE.toml", type=Path, help=_SHARED_FILE)
    parser.set_defaults(execute=_status)


def _status(args: argparse.Namespace) -> None:
    for line in status_lines(load_config(args.file)):
        print(line)


def add_stop(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "stop",
        help="stop a run across sites",
        description="Stop a run of a federation across machines; 'asyndbt resume' continues it. "
        "Coordinator and sites keep listening; Ctrl-C or SIGTERM ends them.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory of the run")
    parser.set_defaults(execute=_stop)


def _stop(args: argparse.Namespace) -> None:
    stop_run(args.directory)
    print(f"stopped; go on with: asyndbt resume {args.directory}")
