"""The app that Flower hands to every site: small files that import what is installed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["bundled"]

_NAME = "asyndbt-relay"
_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "Relays messages of asyndbt to the process of a site"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "asyndbt"

[tool.flwr.app.components]
serverapp = "asyndbt_relay.server_app:app"
clientapp = "asyndbt_relay.client_app:app"

[tool.flwr.app.config]
directory = ""
"""
_MODULE = '''\
"""Made by asyndbt: the code is in the installed package, the data in neither."""

from asyndbt.deploy.apps import {factory}

app = {factory}()
'''


@contextmanager
def bundled() -> Iterator[Path]:
    """Have the app in a directory of its own, with nothing else in it, while the context is open.

    Flower takes every table and text file of that directory along to all sites.
    """
    with TemporaryDirectory(prefix="asyndbt-app-") as folder:
        app = Path(folder) / _NAME
        package = app / "asyndbt_relay"
        package.mkdir(parents=True)
        files = {
            app / "pyproject.toml": _PROJECT.format(name=_NAME, version=version("asyndbt")),
            package / "__init__.py": "",
            package / "client_app.py": _MODULE.format(factory="client_app"),
            package / "server_app.py": _MODULE.format(factory="server_app"),
        }
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        yield app
