"""The loop that all engines share: carry messages between the coordinator and sites, keep time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, Self

from asyndbt._plugins import find_plugins
from asyndbt.errors import (
    AsyndbtError,
    DataError,
    MessageError,
    ModelError,
    RunDirectoryError,
    SiteError,
)
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import (
    Assignment,
    ConfirmDone,
    EvaluateDone,
    Join,
    Message,
    Report,
    StepDone,
    byte_bound,
    decode,
    encode,
)
from asyndbt.federation._plan import Plan


class Site(Protocol):
    """A site in this process, as an engine sees it.

    Implementations: `Worker`, whose state is kept nowhere, and `RunSite`.
    """

    def join(self) -> Join:
        """Return the message by which the site enters the run."""
        ...

    async def handle(self, assignment: Assignment) -> Report:
        """Do a piece of work; the state after it is safe before the report is returned."""
        ...


class Channel:
    """Encodes, counts and decodes every message that crosses a site's border.

    Parameters
    ----------
    tap : callable, optional
        Called with the site's name, "out" (leaving the site) or "in", and the message's bytes.
    """

    def __init__(self, tap: Callable[[str, str, bytes], None] | None = None) -> None:
        self._tap = tap
        self.traffic: dict[str, dict[str, list[int]]] = {}

    def carry(self, message: Message, direction: str, limit: int | None = None) -> Message:
        """Encode, count and decode a message: the receiver gets what the bytes say.

        Raises
        ------
        MessageError
            If the bytes are not a message, or are more than `limit`.
        """
        return decode(self.send(message, direction), limit)

    def send(self, message: Message, direction: str = "in") -> bytes:
        """Encode and count a message to a receiver in another process."""
        data = encode(message)
        self._count(message, direction, data)
        return data

    def receive(self, data: bytes, limit: int | None = None) -> Message:
        """Decode and count a message from a site in another process.

        Raises
        ------
        MessageError
            If the bytes are not a message, or are more than `limit`.
        """
        message = decode(data, limit)
        self._count(message, "out", data)
        return message

    def _count(self, message: Message, direction: str, data: bytes) -> None:
        if self._tap is not None:
            self._tap(message.site, direction, data)
        kinds = self.traffic.setdefault(message.site, {})
        count = kinds.setdefault(f"{direction} {type(message).__name__}", [0, 0])
        count[0] += 1
        count[1] += len(data)


async def handle_assignment(site: Site, work: Assignment) -> Report | Exception:
    """Have a site do its work; return its report, or the error that concerns this site alone.

    Raises
    ------
    DataError, ModelError, RunDirectoryError
        If no site could succeed: the disk, the key, the model's name or the quota is at fault.
    """
    try:
        return await site.handle(work)
    except (DataError, ModelError, RunDirectoryError):
        raise
    except Exception as error:
        return error


class Inbox:
    """Passes what arrives from sites to the coordinator.

    A malformed message counts against its sender. A site that fails is gone, with a notice of the
    error's class only, since its text may hold private data; the other sites go on.

    Parameters
    ----------
    channel : Channel
    coordinator : Coordinator
    """

    def __init__(self, channel: Channel, coordinator: Coordinator) -> None:
        self._channel, self._coordinator = channel, coordinator
        self._limit = _largest_report(coordinator.plan)
        self._failure: Exception | None = None

    def take(self, site: str, item: Message | bytes | Exception, now: float) -> None:
        """Take a site's message, as such or as bytes, or its failure."""
        if isinstance(item, Exception):
            self._failure = item
            kind = item.kind if isinstance(item, SiteError) else type(item).__name__
            self._coordinator.lose(site, kind, now)
            return
        try:
            message = self.read(item)
            if message.site != site:
                raise MessageError("it bears another site's name")
        except MessageError as error:
            self._coordinator.refuse(site, str(error), now)
        else:
            self._coordinator.receive(message, now)

    def read(self, item: Message | bytes) -> Message:
        """Decode and count a message from a site.

        Raises
        ------
        MessageError
            If it is malformed, or larger than any report can be.
        """
        if isinstance(item, bytes):
            return self._channel.receive(item, self._limit)
        return self._channel.carry(item, "out", self._limit)

    def nobody_left(self) -> Exception:
        """Return the error of an unfinished run that has no site left to wait for."""
        return self._failure or AsyndbtError(
            "all sites are gone, or were refused too often: there is no result yet; when they are "
            "back, resume the run"
        )


def _largest_report(plan: Plan) -> int:
    kinds = (StepDone, ConfirmDone, EvaluateDone)
    sizes = (plan.positions, plan.words, plan.confirm_candidates)
    return max(byte_bound(kind, *sizes) for kind in kinds)


class Engine(ABC):
    """Runs a coordinator to its end; a subclass says how messages travel and what time it is.

    Implementations: `InProcessEngine`, `FlowerEngine`. An engine runs once.

    Parameters
    ----------
    coordinator : Coordinator
        Fresh or restored; work that it had handed out is sent again.
    channel : Channel, optional
    elapsed : float
        Seconds that earlier sessions of the run have taken.
    """

    def __init__(self, coordinator: Coordinator, channel: Channel | None, elapsed: float) -> None:
        self.channel = channel or Channel()
        self._coordinator = coordinator
        self._inbox = Inbox(self.channel, coordinator)
        self._seconds: Callable[[], float] = lambda: elapsed

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self._seconds()

    async def run(self, changed: Callable[[float], None]) -> None:
        """Run until the coordinator is done.

        Parameters
        ----------
        changed : callable
            Called with the time after everything the coordinator took in and handed out, before
            any of that work is sent: the moment to write a checkpoint.

        Raises
        ------
        ModelError
            If the language model cannot be used at all.
        Exception
            If no site is left: the last failure of one, or AsyndbtError.
        """
        try:
            await self._open()
            while True:
                given = self._coordinator.assignments(self.now())
                changed(self.now())
                for assignment in given:
                    await self._send(assignment)
                if self._coordinator.phase == "done":
                    return
                if not await self._receive():
                    raise self._inbox.nobody_left()
        finally:
            self._close()

    def _start_clock(self) -> None:
        """Have time pass by the clock of the running event loop, as for all that sleeps on it."""
        clock = asyncio.get_running_loop().time
        start = clock() - self.now()
        self._seconds = lambda: clock() - start

    @abstractmethod
    async def _open(self) -> None:
        """Start the clock, have sites join, and send restored work again."""

    @abstractmethod
    async def _send(self, assignment: Assignment) -> None:
        """Send a piece of work to its site."""

    @abstractmethod
    async def _receive(self) -> bool:
        """Wait for the next arrival or the end of a lease, and tell the coordinator.

        Returns
        -------
        bool
            False if nothing can arrive any more.
        """

    def _close(self) -> None:  # noqa: B027
        """Stop what is still under way."""


class InProcessEngine(Engine):
    """An engine with all sites in this process: a value of ``federation.engine``.

    Implementations: `LocalEngine`, `VirtualEngine`, and those of installed packages (entry points
    of group ``asyndbt.engines``).
    """

    name: ClassVar[str]
    """Value of ``federation.engine`` that chooses it."""

    @classmethod
    @abstractmethod
    def of(
        cls,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        channel: Channel,
        elapsed: float,
        federation: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Return an engine for a run.

        Parameters
        ----------
        coordinator : Coordinator
        sites : mapping of str to Site
        channel : Channel
        elapsed : float
            Seconds that earlier sessions of the run have taken.
        federation : mapping
            The table ``[federation]`` of the configuration.
        seed : int
            The run's.
        """


@cache
def find_engines() -> Mapping[str, type[InProcessEngine]]:
    """Return the engines for sites in one process, of this package and of installed ones.

    Raises
    ------
    ConfigError
        If an installed one cannot be loaded, or has a name that is in use.
    """
    return find_plugins("asyndbt.engines", "asyndbt.federation.engines", InProcessEngine, "name")
