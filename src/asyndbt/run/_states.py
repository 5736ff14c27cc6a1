"""States on disk, each beside the one before it: a damaged one ends no run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyndbt.errors import MessageError
from asyndbt.federation import unpack_state
from asyndbt.run._directory import state_before


@dataclass(frozen=True, slots=True)
class SavedState:
    """A state as it lies on the disk, and its fields."""

    data: bytes
    fields: Mapping[str, Any]


def saved_states(file: Path) -> tuple[list[SavedState], bool]:
    """Return what can be read of a state and the one before it, and whether one is damaged.

    The latest is first. After a crash between the two steps of `replace_state` there is only the
    one before, which is then the latest.

    Raises
    ------
    RunDirectoryError
        If another version wrote them.
    """
    found, damaged = [], False
    for path in (file, state_before(file)):
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            try:
                found.append(SavedState(data, unpack_state(data)[0]))
            except MessageError:
                damaged = True
    return found, damaged


def drop_states(file: Path) -> None:
    """Remove a state and the one before it."""
    for path in (file, state_before(file)):
        path.unlink(missing_ok=True)
