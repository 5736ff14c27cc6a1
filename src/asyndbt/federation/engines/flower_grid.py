"""Flower's own Grid under the few words that the engine needs of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from asyndbt.errors import MissingExtraError
from asyndbt.federation.engines.grid import Reply

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict
    from flwr.serverapp import Grid as FlwrGrid

__all__ = ["FlowerGrid", "content_of", "record_of"]

_RECORD, _KEY = "asyndbt", "frame"
_ERRORS = {
    2: "the app at the site raised",
    3: "no answer within the ttl",
    4: "the reply was lost",
    5: "the node is not connected",
    8: "the app at the site was killed",
}
"""What Flower's codes of error replies mean here; their texts may quote a site's data."""


def record_of(frame: bytes) -> RecordDict:
    """Put a frame into the only record that travels.

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


def content_of(message: Message) -> bytes:
    """Return the frame in a message; nothing where there is none."""
    try:
        frame = message.content[_RECORD][_KEY]
    except (KeyError, ValueError):
        return b""
    return frame if isinstance(frame, bytes) else b""


class FlowerGrid:
    """Carries bytes by Flower messages.

    Parameters
    ----------
    grid : flwr.serverapp.Grid
    """

    def __init__(self, grid: FlwrGrid) -> None:
        self._grid = grid

    def nodes(self) -> Collection[int]:
        """Return the nodes that are connected now."""
        return list(self._grid.get_node_ids())

    def push(self, node: int, frame: bytes, ttl: float) -> str | None:
        """Send bytes to a node; return the message's id, or None if they were not taken."""
        from flwr.app import Message

        message = Message(record_of(frame), node, "query", ttl=ttl)
        return next(iter(self._grid.push_messages([message])), None) or None

    def pull(self, ids: Collection[str]) -> list[Reply]:
        """Return what has come back for these messages, each reply once."""
        return [_reply(message) for message in self._grid.pull_messages(list(ids))]


def _reply(message: Message) -> Reply:
    id_ = message.metadata.reply_to_message_id
    if message.has_error():
        code = message.error.code
        return Reply(id_, error=_ERRORS.get(code, f"Flower's error {code}"))
    return Reply(id_, content_of(message))
