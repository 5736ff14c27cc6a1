"""What the Flower engine asks of whoever carries its bytes, and one that does so in memory.

Flower's own Grid under the few words that the engine needs of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asyndbt.errors import MissingExtraError

Handler = Callable[[bytes], Awaitable[bytes]]
"""A site: bytes in, bytes out."""


@dataclass(frozen=True, slots=True)
class GridReply:
    """What came back for a message: bytes, or why there are none."""

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
            Seconds after which a reply that says so takes the place of an answer.
        """
        ...

    def pull(self, ids: Collection[str]) -> list[GridReply]:
        """Return what has come back for these messages, each reply once."""
        ...


if TYPE_CHECKING:
    from flwr.app import Message, RecordDict
    from flwr.serverapp import Grid as FlwrGrid


_RECORD, _KEY = "asyndbt", "frame"
_ERRORS = {
    2: "the app at the site raised",
    3: "no answer within the ttl",
    4: "the reply was lost",
    5: "the node is not connected",
    8: "the app at the site was killed",
}
"""What Flower's codes of error replies mean here; their texts may quote a site's data."""


def to_record(frame: bytes) -> RecordDict:
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


def from_record(message: Message) -> bytes:
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

        message = Message(to_record(frame), node, "query", ttl=ttl)
        return next(iter(self._grid.push_messages([message])), None) or None

    def pull(self, ids: Collection[str]) -> list[GridReply]:
        """Return what has come back for these messages, each reply once."""
        return [_reply(message) for message in self._grid.pull_messages(list(ids))]


def _reply(message: Message) -> GridReply:
    id_ = message.metadata.reply_to_message_id
    if message.has_error():
        code = message.error.code
        return GridReply(id_, error=_ERRORS.get(code, f"Flower's error {code}"))
    return GridReply(id_, from_record(message))
