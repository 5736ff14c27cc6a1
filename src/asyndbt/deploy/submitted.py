"""A run that was submitted: the directory tells both sides what became of it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyndbt.config import load_config
from asyndbt.deploy.conduct import conduct
from asyndbt.errors import AsyndbtError
from asyndbt.federation.engines.grid import Grid
from asyndbt.run.directory import RunDirectory

__all__ = ["FAILURE", "carry_out", "failure_in"]

FAILURE = "failure.json"


def carry_out(path: Path, grid: Grid) -> None:
    """Carry out the run whose configuration is in a directory; leave a word if it fails."""
    directory = RunDirectory.open(path)
    config = load_config(directory.config_file).override({"run.dir": str(path)})
    try:
        conduct(config, directory, grid)
    except AsyndbtError as error:
        directory.write_json(FAILURE, {"kind": type(error).__name__, "text": str(error)})
        raise
    except Exception as error:
        directory.write_json(FAILURE, {"kind": type(error).__name__, "text": repr(error)})
        raise


def failure_in(path: Path) -> dict[str, Any] | None:
    """Return why the run in a directory ended without a result, if it did."""
    with suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads((path / FAILURE).read_text("utf-8"))
        return found
    return None
