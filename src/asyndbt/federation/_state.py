"""States on disk, of the coordinator and of sites: records with the number of their format.

Whoever changes what a state holds, or what it means, raises the number: a state of another number
is refused, not misread. A digest stands at the end, so that no damaged state is taken for a whole
one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

from asyndbt.errors import MessageError, RunDirectoryError
from asyndbt.federation._codec import pack, unpack

STATE_FORMAT: Final = 5
_DIGEST: Final = 16
"""Bytes."""


def pack_state(fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return JSON fields and arrays of a state as bytes."""
    record = pack({**fields, "format": STATE_FORMAT}, arrays)
    return record + _digest(record)


def unpack_state(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Inverse of `pack_state`.

    Raises
    ------
    RunDirectoryError
        If the state is of another format.
    MessageError
        If the bytes are no state, or damaged.
    """
    record = data[:-_DIGEST]
    intact = _digest(record) == data[-_DIGEST:]
    # States from before there were digests are records alone.
    fields, arrays = unpack(record if intact else data)
    found = fields.pop("format", "without a number")
    if found == STATE_FORMAT and not intact:
        raise MessageError("the state is damaged: its digest is missing")
    if found != STATE_FORMAT:
        raise RunDirectoryError(
            f"the run's state was written by another version of asyndbt (format {found}, this is "
            f"{STATE_FORMAT}): go on with the release that wrote it, or start again in another "
            "directory"
        )
    return fields, arrays


def _digest(record: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=_DIGEST).digest()
