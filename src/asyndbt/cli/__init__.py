"""The command ``asyndbt``: one file per group of subcommands, thin layers over the library."""

from asyndbt.cli._demo_tasks import demo_config, demo_values
from asyndbt.cli._main import main

__all__ = ["demo_config", "demo_values", "main"]
