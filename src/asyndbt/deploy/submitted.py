"""A run that was submitted: the coordinator's end of it."""

from __future__ import annotations

from pathlib import Path

from asyndbt.config import load_config
from asyndbt.deploy.conduct import conduct
from asyndbt.federation.engines.grid import Grid
from asyndbt.run.directory import RunDirectory

__all__ = ["carry_out"]


def carry_out(path: Path, grid: Grid) -> None:
    """Carry out the run whose configuration is in a directory, which tells what became of it."""
    directory = RunDirectory.open(path)
    config = load_config(directory.config_file).override({"run.dir": str(path)})
    conduct(config, directory, grid)
