"""The version of this package; the metadata of a package is parsed anew at every look."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def package_version() -> str:
    """Return the installed version."""
    return version("asyndbt")
