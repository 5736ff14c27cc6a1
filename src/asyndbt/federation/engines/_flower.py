"""The engine across machines: messages go to sites by a grid of nodes, in real time.

A node is a place that can be reached; which site is there, it says itself when it is greeted. A
node holds one message at most. What it does not answer (it was lost, took too long, or failed) is
no answer: the coordinator gives the site up, and the site is greeted again, later each time.

A site that is greeted while the coordinator waits for its answer gets the same piece of work
again: what it has done already it answers from its state, so nothing is done twice, whichever side
was restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asyndbt.errors import MessageError, SiteError
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Join
from asyndbt.federation.engines import _envelope as frames
from asyndbt.federation.engines._base import Channel, Inbox, Site, stopwatch
from asyndbt.federation.engines._grid import Grid, GridReply


@dataclass(slots=True)
class _Node:
    """What is known of a node: its site, the message it holds, and when to greet it again."""

    id: int
    site: str = ""
    message: str = ""
    asked: Assignment | None = None
    failures: int = 0
    quiet_until: float = 0.0


class FlowerEngine:
    """Runs sites on other machines.

    Parameters
    ----------
    grid : Grid
    run : str
        16 hexadecimal digits that name the run at the sites, the same after a resume.
    ttl : float
        Seconds after which the grid gives a message up.
    wire : Wire
    elapsed : float
        Seconds that earlier sessions of the run have taken.
    poll : float
        Seconds between two looks for replies.
    look : float
        Seconds between two looks for nodes.
    """

    def __init__(
        self,
        grid: Grid,
        run: str,
        ttl: float,
        wire: Channel | None = None,
        elapsed: float = 0.0,
        *,
        poll: float = 0.2,
        look: float = 2.0,
    ) -> None:
        self.wire = wire or Channel()
        self._grid, self._run, self._ttl = grid, run, ttl
        self._poll, self._look = poll, look
        self._seconds: Callable[[], float] = lambda: elapsed
        self._next_look = 0.0
        self._nodes: dict[int, _Node] = {}
        self._connected: set[int] = set()

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self._seconds()

    async def run(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        changed: Callable[[float], None],
    ) -> None:
        """Run until the coordinator is done; all sites are elsewhere."""
        self._seconds = stopwatch(self.now())
        desk = Inbox(self.wire, coordinator)
        hopeful = self.now()
        while True:
            given = coordinator.assignments(self.now())
            changed(self.now())
            self._send(given)
            if coordinator.phase == "done":
                return
            await asyncio.sleep(self._poll)
            self._greet(coordinator)
            self._collect(coordinator, desk)
            now = self.now()
            deadline = coordinator.deadline()
            if deadline is not None:
                hopeful = now
                if deadline <= now:
                    coordinator.advance(now)
            elif now > hopeful + coordinator.plan.lease and coordinator.phase != "done":
                raise desk.nobody_left()

    # ------------------------------------------------------------------ out
    def _send(self, work: list[Assignment]) -> None:
        """Send work to whoever can be reached; the others get it when they are greeted."""
        at = {node.site: node for node in self._nodes.values()}
        for assignment in work:
            node = at.get(assignment.site)
            if node is not None and not node.message:
                self._push(node, assignment)

    def _push(self, node: _Node, work: Assignment | None) -> None:
        body = self.wire.send(work) if work is not None else b""
        id_ = self._grid.push(node.id, frames.pack_request(self._run, body), self._ttl)
        node.message, node.asked = id_ or "", work

    def _greet(self, coordinator: Coordinator) -> None:
        """Ask nodes who they are, where that is not known or their site is to come back."""
        now = self.now()
        if now < self._next_look:
            return
        self._next_look = now + self._look
        self._connected = set(self._grid.nodes())
        for id_ in self._connected - set(self._nodes):
            self._nodes[id_] = _Node(id_)
        for node in list(self._nodes.values()):
            if node.message:
                continue
            if node.id not in self._connected:
                del self._nodes[node.id]
            elif now >= node.quiet_until and _is_missed(coordinator, node.site):
                self._push(node, None)

    # ------------------------------------------------------------------ in
    def _collect(self, coordinator: Coordinator, desk: Inbox) -> None:
        holders = {node.message: node for node in self._nodes.values() if node.message}
        replies = self._grid.pull(list(holders)) if holders else []
        for reply in replies:
            node = holders[reply.id]
            asked, node.message, node.asked = node.asked, "", None
            try:
                data = _content(reply)
                if asked is None:
                    self._welcome(coordinator, desk, node, data)
                else:
                    node.failures = 0
                    desk.take(node.site, data, self.now())
            except frames.FrameError as error:
                self._fail(coordinator, desk, node, asked, error.kind)
            except MessageError as error:
                self._turn_away(coordinator, node, str(error))

    def _welcome(self, coordinator: Coordinator, desk: Inbox, node: _Node, data: bytes) -> None:
        """Take in what a node says of itself.

        Raises
        ------
        MessageError
            If it cannot take part.
        """
        join, now = desk.read(data), self.now()
        if not isinstance(join, Join):
            raise MessageError(f"{type(join).__name__} where a site should introduce itself")
        if join.site not in coordinator.plan.sites:
            raise MessageError(f"site {join.site}: not one of the sites of this run")
        self._settle(node, join.site)
        member = coordinator.roster[join.site]
        held = member.outstanding if member.live else None
        if held is not None and join.agreement == coordinator.plan.agreement:
            coordinator.keep(join.site, now)
            self._push(node, held)
            return
        coordinator.receive(join, now)
        if not member.live:
            self._back_off(node, coordinator.plan.lease)

    def _settle(self, node: _Node, site: str) -> None:
        """Note where a site is. Its name belongs to the first node that has it and is there."""
        for other in list(self._nodes.values()):
            if other.site == site and other is not node:
                if other.id in self._connected:
                    raise MessageError(f"site {site}: it is connected already, as another node")
                del self._nodes[other.id]
        node.site = site

    # ------------------------------------------------------------------ failures
    def _fail(
        self,
        coordinator: Coordinator,
        desk: Inbox,
        node: _Node,
        asked: Assignment | None,
        kind: str,
    ) -> None:
        """Take note of work that was not done, or of a greeting that was not returned."""
        self._back_off(node, coordinator.plan.lease)
        if asked is None:
            coordinator.refuse(f"node {node.id}", kind, self.now())
        elif coordinator.roster[node.site].outstanding is asked:
            desk.take(node.site, SiteError(node.site, kind), self.now())

    def _turn_away(self, coordinator: Coordinator, node: _Node, why: str) -> None:
        self._back_off(node, coordinator.plan.lease)
        coordinator.refuse(node.site or f"node {node.id}", why, self.now())

    def _back_off(self, node: _Node, lease: float) -> None:
        """Leave a node alone for a time that doubles with every failure in a row."""
        node.failures += 1
        node.quiet_until = self.now() + min(2.0 ** min(node.failures, 30) * self._look, 2 * lease)


def _is_missed(coordinator: Coordinator, site: str) -> bool:
    """Whether a greeting could bring a site (back), or its lost answer."""
    if site not in coordinator.roster:
        return True
    member = coordinator.roster[site]
    return not member.banned and (not member.live or member.outstanding is not None)


def _content(reply: GridReply) -> bytes:
    if reply.error:
        raise frames.FrameError(reply.error)
    return frames.unpack_reply(reply.frame)
