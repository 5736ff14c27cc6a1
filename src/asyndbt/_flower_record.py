"""A frame of bytes as a message of Flower: one record with one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyndbt.errors import MissingExtraError

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict

_RECORD, _KEY = "asyndbt", "frame"


def to_record(frame: bytes) -> RecordDict:
    """Wrap a frame in the one record that is sent.

    Raises
    ------
    MissingExtraError
        If Flower is not installed.
    """
    try:
        from flwr.app import ConfigRecord, RecordDict
    except ModuleNotFoundError:
        raise MissingExtraError("flwr", "flower") from None
    return RecordDict({_RECORD: ConfigRecord({_KEY: frame})})


def from_record(message: Message) -> bytes:
    """Return the frame in a message, empty where there is none."""
    try:
        frame = message.content[_RECORD][_KEY]
    except (KeyError, ValueError):
        return b""
    return frame if isinstance(frame, bytes) else b""
