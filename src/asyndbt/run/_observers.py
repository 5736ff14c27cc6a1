"""Observers of a run, none of which can end it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Observers(Generic[T]):
    """Shows everything to all observers; one that fails is switched off with a warning.

    A run may have cost money by then, and nothing in it depends on who looks at it.

    Parameters
    ----------
    observers : iterable of callable
        Are called in this order. KeyboardInterrupt, and whatever else is no `Exception`, passes.
    """

    def __init__(self, observers: Iterable[Callable[[T], None]]) -> None:
        self._observers = list(observers)

    def __call__(self, shown: T) -> None:
        for observer in tuple(self._observers):
            try:
                observer(shown)
            except Exception as error:
                self._observers.remove(observer)
                name = getattr(observer, "__name__", type(observer).__name__)
                reason = str(error) or type(error).__name__
                warnings.warn(
                    f"the observer {name} has failed and is switched off; the run goes on: "
                    f"{reason}",
                    stacklevel=2,
                )
