"""The command ``asyndbt``: one file per subcommand, each a thin layer over the library."""

from asyndbt.cli._demo import demo_config, demo_values

__all__ = ["demo_config", "demo_values"]
