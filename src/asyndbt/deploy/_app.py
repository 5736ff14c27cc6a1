"""The app that Flower runs: a relay at every site, and the run itself at the coordinator.

The app's files import what is installed on each machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from asyndbt._async import NewLoop
from asyndbt.config import load_config
from asyndbt.deploy._conduct import conduct
from asyndbt.federation.engines import FlowerGrid, Grid
from asyndbt.run import RunDirectory

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.serverapp import Grid as FlwrGrid
    from flwr.serverapp import ServerApp


def server_app() -> ServerApp:
    """Return the app of the coordinator, which runs what is configured in its directory."""
    from flwr.serverapp import ServerApp

    def main(grid: FlwrGrid, context: Context) -> None:
        run_submitted(Path(str(context.run_config["directory"])), FlowerGrid(grid))

    app = ServerApp()
    app.main()(main)
    return app


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

from asyndbt.{module} import {factory}

app = {factory}()
'''


@contextmanager
def bundled() -> Iterator[Path]:
    """Provide the app in a temporary directory of its own.

    Flower sends every table and text file of that directory to all sites.
    """
    with TemporaryDirectory(prefix="asyndbt-app-") as folder:
        app = Path(folder) / _NAME
        package = app / "asyndbt_relay"
        package.mkdir(parents=True)
        files = {
            app / "pyproject.toml": _PROJECT.format(name=_NAME, version=version("asyndbt")),
            package / "__init__.py": "",
            package / "client_app.py": _MODULE.format(module="_relay", factory="client_app"),
            package / "server_app.py": _MODULE.format(module="deploy._app", factory="server_app"),
        }
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        yield app


def run_submitted(path: Path, grid: Grid, new_loop: NewLoop | None = None) -> None:
    """Run the configuration in a directory, where the outcome is recorded."""
    directory = RunDirectory.open(path)
    config = load_config(directory.config_file).override({"run.dir": str(path)})
    conduct(config, directory, grid, new_loop=new_loop)
