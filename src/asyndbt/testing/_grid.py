"""A grid of nodes in this process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection

from asyndbt.federation.engines import GridReply, Handler


class LoopbackGrid:
    """Nodes in this process: for tests, and to observe what crosses a site's border.

    Parameters
    ----------
    tap : callable, optional
        Called with the node, "in" (to the site) or "out", and the frame.
    """

    def __init__(self, tap: Callable[[int, str, bytes], None] | None = None) -> None:
        self._tap = tap
        self._handlers: dict[int, Handler] = {}
        self._replies: dict[str, GridReply] = {}
        self._working: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._count = itertools.count(1)

    def connect(self, node: int, handler: Handler) -> None:
        """Register a node and its handler."""
        self._handlers[node] = handler

    def disconnect(self, node: int, *, silently: bool = False) -> None:
        """Drop a node and its work in progress; `silently` leaves its messages without reply."""
        self._handlers.pop(node, None)
        for id_, (worker, task) in list(self._working.items()):
            if worker == node:
                task.cancel()
                del self._working[id_]
                if not silently:
                    self._replies[id_] = GridReply(id_, error="node unavailable")

    def nodes(self) -> Collection[int]:
        """Return the nodes that are connected now."""
        return list(self._handlers)

    def push(self, node: int, frame: bytes, ttl: float) -> str | None:
        """Have a node handle bytes, as a task of the running event loop."""
        if node not in self._handlers:
            return None
        id_ = str(next(self._count))
        task = asyncio.get_running_loop().create_task(self._handle(id_, node, frame, ttl))
        self._working[id_] = (node, task)
        return id_

    def pull(self, ids: Collection[str]) -> list[GridReply]:
        """Return the replies to these messages that have arrived, each reply once."""
        return [self._replies.pop(id_) for id_ in ids if id_ in self._replies]

    async def _handle(self, id_: str, node: int, frame: bytes, ttl: float) -> None:
        self._show(node, "in", frame)
        try:
            async with asyncio.timeout(ttl):
                answer = await self._handlers[node](frame)
        except TimeoutError:
            self._replies[id_] = GridReply(id_, error="too late")
        except Exception:
            self._replies[id_] = GridReply(id_, error="the handler raised")
        else:
            self._show(node, "out", answer)
            self._replies[id_] = GridReply(id_, answer)
        self._working.pop(id_, None)

    def _show(self, node: int, direction: str, frame: bytes) -> None:
        if self._tap is not None:
            self._tap(node, direction, frame)
