"""States on disk, of the coordinator and of sites: records with the number of their format.

Whoever changes what a state holds, or what it means, raises the number: a state of another number
is refused, not misread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

from asyndbt.errors import RunDirectoryError
from asyndbt.federation._codec import pack, unpack

STATE_FORMAT: Final = 3


def pack_state(fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return JSON fields and arrays of a state as bytes."""
    return pack({**fields, "format": STATE_FORMAT}, arrays)


def unpack_state(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Inverse of `pack_state`.

    Raises
    ------
    RunDirectoryError
        If the state is of another format.
    MessageError
        If the bytes are no state.
    """
    fields, arrays = unpack(data)
    found = fields.pop("format", "without a number")
    if found != STATE_FORMAT:
        raise RunDirectoryError(
            f"the run's state was written by another version of asyndbt (format {found}, this is "
            f"{STATE_FORMAT}): go on with the release that wrote it, or start again in another "
            "directory"
        )
    return fields, arrays
