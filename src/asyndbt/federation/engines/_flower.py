"""The engine across machines: messages reach sites through a grid of nodes, in real time.

A node is an address; which site is there, the node says when it is greeted. A node holds at most
one message. If its work brings no report (lost, too late, or failed), the coordinator gives the
site up, and the engine greets the node again, after longer and longer pauses.

A site that is greeted while the coordinator waits for its report gets the same piece of work
again. A site answers work that it has already done from its state, so nothing is done twice,
whichever side was restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from asyndbt.errors import FrameError, MessageError, SiteError
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import Assignment, Join
from asyndbt.federation.engines import _envelope as frames
from asyndbt.federation.engines._base import Channel, Engine
from asyndbt.federation.engines._grid import Grid, GridReply


@dataclass(slots=True)
class _Node:
    """A node: its site, the message that it holds, and when to greet it again."""

    id: int
    site: str = ""
    message: str = ""
    asked: Assignment | None = None
    failures: int = 0
    quiet_until: float = 0.0


class FlowerEngine(Engine):
    """Runs sites on other machines.

    Parameters
    ----------
    coordinator : Coordinator
    grid : Grid
    run : str
        16 hexadecimal digits that name the run at the sites, the same after a resume.
    ttl : float
        Seconds after which the grid gives a message up.
    channel : Channel, optional
    elapsed : float
        Seconds that earlier sessions of the run have taken.
    poll : float
        Seconds between two polls for replies.
    look : float
        Seconds between two polls for nodes.
    nodes : mapping of str to int, optional
        By site, the node that has proven to have the site's key. Other nodes are refused its name,
        and it is refused other names; a name without a node is the first one's who claims it.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        grid: Grid,
        run: str,
        ttl: float,
        channel: Channel | None = None,
        elapsed: float = 0.0,
        *,
        poll: float = 0.2,
        look: float = 2.0,
        nodes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(coordinator, channel, elapsed)
        self._grid, self._run, self._ttl = grid, run, ttl
        self._poll, self._look, self._lease = poll, look, coordinator.plan.lease
        self._next_look = 0.0
        self._hopeful = elapsed
        """When the coordinator last had a site to wait for."""
        self._proven = dict(nodes or {})
        self._owners = {node: site for site, node in self._proven.items()}
        self._nodes: dict[int, _Node] = {}
        self._connected: set[int] = set()

    async def _open(self) -> None:
        self._start_clock()

    async def _receive(self) -> bool:
        await asyncio.sleep(self._poll)
        self._greet()
        self._collect()
        now, deadline = self.now(), self._coordinator.deadline()
        if deadline is None:
            return now <= self._hopeful + self._lease or self._coordinator.phase == "done"
        self._hopeful = now
        if deadline <= now:
            self._coordinator.advance(now)
        return True

    # ------------------------------------------------------------------ out
    async def _send(self, assignment: Assignment) -> None:
        """Send work to a site that can be reached; another gets it when it is greeted."""
        for node in self._nodes.values():
            if node.site == assignment.site and not node.message:
                self._push(node, assignment)

    def _push(self, node: _Node, work: Assignment | None) -> None:
        body = self.channel.send(work) if work is not None else b""
        id_ = self._grid.push(node.id, frames.pack_request(self._run, body), self._ttl)
        node.message, node.asked = id_ or "", work

    def _greet(self) -> None:
        """Have nodes introduce themselves if their site is unknown, or is to come back."""
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
            elif now >= node.quiet_until and self._is_missed(node.site):
                self._push(node, None)

    def _is_missed(self, site: str) -> bool:
        """Whether a greeting could bring a site (back), or its lost report."""
        if site not in self._coordinator.roster:
            return True
        member = self._coordinator.roster[site]
        return not member.banned and (not member.live or member.outstanding is not None)

    # ------------------------------------------------------------------ in
    def _collect(self) -> None:
        holders = {node.message: node for node in self._nodes.values() if node.message}
        replies = self._grid.pull(list(holders)) if holders else []
        for reply in replies:
            node = holders[reply.id]
            asked, node.message, node.asked = node.asked, "", None
            try:
                data = _content(reply)
                if asked is None:
                    self._welcome(node, data)
                else:
                    node.failures = 0
                    self._inbox.take(node.site, data, self.now())
            except FrameError as error:
                self._fail(node, asked, error.kind)
            except MessageError as error:
                self._refuse(node, str(error))

    def _welcome(self, node: _Node, data: bytes) -> None:
        """Take in how a node introduces itself.

        Raises
        ------
        MessageError
            If it cannot take part.
        """
        coordinator = self._coordinator
        join, now = self._inbox.read(data), self.now()
        if not isinstance(join, Join):
            raise MessageError(f"{type(join).__name__} where a site should introduce itself")
        if join.site not in coordinator.plan.sites:
            raise MessageError(f"site {join.site}: not one of the sites of this run")
        self._settle(node, join.site)
        member = coordinator.roster[join.site]
        held = member.outstanding if member.live else None
        if held is not None and join.agreement == coordinator.plan.agreement:
            self._push(node, held)
            return
        coordinator.receive(join, now)
        if not member.live:
            self._back_off(node)

    def _settle(self, node: _Node, site: str) -> None:
        """Note a node's site.

        A name belongs to the node that has its key, else to the first that is connected.
        """
        proven = self._proven.get(site, node.id) == node.id
        if not proven or self._owners.get(node.id, site) != site:
            raise MessageError(f"site {site}: this is not the node with the key of that site")
        for other in list(self._nodes.values()):
            if other.site == site and other is not node:
                if other.id in self._connected:
                    raise MessageError(f"site {site}: it is connected already, as another node")
                del self._nodes[other.id]
        node.site = site

    # ------------------------------------------------------------------ failures
    def _fail(self, node: _Node, asked: Assignment | None, kind: str) -> None:
        """Take note of work that was not done, or of a greeting without a reply."""
        self._back_off(node)
        if asked is None:
            self._coordinator.refuse(f"node {node.id}", kind, self.now())
        elif self._coordinator.roster[node.site].outstanding is asked:
            self._inbox.take(node.site, SiteError(node.site, kind), self.now())

    def _refuse(self, node: _Node, why: str) -> None:
        self._back_off(node)
        self._coordinator.refuse(node.site or f"node {node.id}", why, self.now())

    def _back_off(self, node: _Node) -> None:
        """Leave a node alone for a time that doubles with every failure in a row."""
        node.failures += 1
        pause = min(2.0 ** min(node.failures, 30) * self._look, 2 * self._lease)
        node.quiet_until = self.now() + pause


def _content(reply: GridReply) -> bytes:
    if reply.error:
        raise FrameError(reply.error)
    return frames.unpack_reply(reply.frame)
