"""Packages whose names are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def names_of(module: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that offers what a module of it offers.

    Parameters
    ----------
    module : str
        Full name of a module with ``__all__``; importing it also loads the package's rooms.
    """
    package = module.rpartition(".")[0]

    def find(name: str) -> Any:
        found = import_module(module)
        if name == "__all__" or name in found.__all__:
            return getattr(found, name)
        if name in (rooms := vars(import_module(package))):
            return rooms[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
