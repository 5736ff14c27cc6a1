"""What fails in a process of its own, in a module that such a process imports in no time."""

from asyndbt.errors import TransientError

__all__ = ["lost"]


def lost() -> None:
    raise TransientError("lost", provider="openai", kind="timeout", charged=True, status=502)
