"""What the Flower engine needs of a carrier of bytes, and Flower's own grid as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asyndbt._flower_record import from_record, to_record

Handler = Callable[[bytes], Awaitable[bytes]]
"""A site's request handler: bytes in, bytes out."""


@dataclass(frozen=True, slots=True)
class GridReply:
    """The reply to a message: bytes, or why there are none."""

    id: str
    frame: bytes = b""
    error: str = ""


class Grid(Protocol):
    """Carries bytes to nodes and back; no method waits.

    Implementations: `FlowerGrid`, ``asyndbt.testing.LoopbackGrid``.
    """

    def nodes(self) -> Collection[int]:
        """Return the nodes that are connected now."""
        ...

    def push(self, node: int, frame: bytes, ttl: float) -> str | None:
        """Send bytes to a node; return the message's id, or None if they were not taken.

        Parameters
        ----------
        node : int
        frame : bytes
        ttl : float
            Seconds after which an error reply takes the place of an answer.
        """
        ...

    def pull(self, ids: Collection[str]) -> list[GridReply]:
        """Return the replies to these messages that have arrived, each reply once."""
        ...


if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.serverapp import Grid as FlwrGrid


_ERRORS = {
    2: "the app at the site raised",
    3: "no answer within the ttl",
    4: "the reply was lost",
    5: "the node is not connected",
    8: "the app at the site was killed",
}
"""Flower's error codes in words of our own: the texts of its errors may quote a site's data."""


class FlowerGrid:
    """Carries bytes in Flower messages.

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

        message = Message(to_record(frame), node, "query", ttl=ttl)
        return next(iter(self._grid.push_messages([message])), None) or None

    def pull(self, ids: Collection[str]) -> list[GridReply]:
        """Return the replies to these messages that have arrived, each reply once."""
        return [_reply(message) for message in self._grid.pull_messages(list(ids))]


def _reply(message: Message) -> GridReply:
    id_ = message.metadata.reply_to_message_id
    if message.has_error():
        code = message.error.code
        return GridReply(id_, error=_ERRORS.get(code, f"Flower's error {code}"))
    return GridReply(id_, from_record(message))
