"""What the benchmarks that drive an engine themselves share. Not a benchmark itself."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Enough", "finished"]

_T = TypeVar("_T")


class Enough(Exception):  # noqa: N818 - an end, not a mistake
    """What was to be measured is over."""


def finished(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Result of a coroutine that never suspends, also inside a running event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise RuntimeError("the coroutine suspended")
