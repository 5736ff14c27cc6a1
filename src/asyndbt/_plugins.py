"""Extensions: classes of this package and of installed packages, found by name.

A provider, an estimator or a method is one class. The built-in ones are found in the modules of
their sub-package; an installed package declares its own as entry points.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pkgutil import iter_modules
from typing import TypeVar

from asyndbt.errors import ConfigError

T = TypeVar("T")


def find_plugins(group: str, package: str, base: type[T], attribute: str) -> dict[str, type[T]]:
    """Return the concrete subclasses of `base` by name, the built-in ones first.

    Parameters
    ----------
    group : str
        Entry-point group of installed packages: ``name = "module:Class"``.
    package : str
        Sub-package whose modules hold the built-in classes.
    attribute : str
        Class attribute that holds the name; an entry point has the same name.

    Raises
    ------
    ConfigError
        If an entry point cannot be loaded, is no such class, or has a name that is in use.
    """
    found: dict[str, type[T]] = {}
    for module in iter_modules(import_module(package).__path__, f"{package}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, base) and not isabstract(value):
                found.setdefault(getattr(value, attribute), value)
    for entry in entry_points(group=group):
        where = f"entry point {entry.name!r} of {group} ({entry.value})"
        try:
            value = entry.load()
        except Exception as error:
            raise ConfigError(f"{where} cannot be loaded: {error!r}") from error
        if not (isinstance(value, type) and issubclass(value, base)):
            raise ConfigError(f"{where} is not a subclass of {base.__name__}")
        if isabstract(value):
            lacking = ", ".join(sorted(getattr(value, "__abstractmethods__")))  # noqa: B009
            raise ConfigError(f"{where} lacks {lacking}")
        if (own := getattr(value, attribute, None)) != entry.name:
            raise ConfigError(f"{where} has {attribute} = {own!r}: give both the same name")
        if entry.name in found:
            raise ConfigError(f"{where} takes a name that is in use: choose another")
        found[entry.name] = value
    return found
