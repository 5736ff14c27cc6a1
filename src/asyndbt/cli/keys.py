"""``asyndbt keys new | register | tls``: how machines know each other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asyndbt.config import load_config

__all__ = ["add"]


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "keys",
        help="make and register keys and certificates",
        description="Keys and certificates of a federation across machines "
        "(docs/three-hospitals.md).",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="at a site: make its key; give FILE.pub away")
    new.add_argument("file", metavar="FILE", type=Path, help="private key to write")
    new.set_defaults(execute=_new)
    register = actions.add_parser("register", help="at the coordinator: admit a site's key")
    register.add_argument("file", metavar="FILE.toml", type=Path, help="the file that sites share")
    register.add_argument("key", metavar="KEY.pub", type=Path, help="the site's public key")
    register.set_defaults(execute=_register)
    tls = actions.add_parser("tls", help="at the coordinator: make its certificate")
    tls.add_argument("host", metavar="HOST", help="name or address by which sites dial it")
    tls.add_argument("--out", type=Path, default=Path("tls"), help="directory (tls)")
    tls.set_defaults(execute=_tls)


def _new(args: argparse.Namespace) -> None:
    from asyndbt.deploy.keys import new_key

    private, public = new_key(args.file)
    print(f"{private} is the site's secret: it stays here, as coordinator.key of site.toml")
    print(f"{public} goes to the coordinator: asyndbt keys register FILE.toml {public.name}")


def _register(args: argparse.Namespace) -> None:
    from asyndbt.deploy.register import register_key

    print(f"node {register_key(load_config(args.file), args.key)} may connect with {args.key}")


def _tls(args: argparse.Namespace) -> None:
    from asyndbt.deploy.keys import new_certificates

    certificate, secret, root = new_certificates(args.host, args.out)
    print("[federation.flower]")
    print(f'certificate = "{certificate}"\ncertificate_key = "{secret}"')
    print(f'root_certificate = "{root}"  # goes to every site too, as coordinator.root_certificate')
