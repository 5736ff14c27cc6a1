"""What an engine is: it carries messages and says what time it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from asyndbt.errors import AsyndbtError, MessageError, ModelError, SiteError
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._messages import (
    Assignment,
    ConfirmDone,
    EvaluateDone,
    Message,
    Report,
    StepDone,
    byte_bound,
    decode,
    encode,
)
from asyndbt.federation._plan import Plan
from asyndbt.federation._worker import Worker


class Site(Protocol):
    """What an engine asks of a site: handle an assignment, and keep its state safe."""

    @property
    def worker(self) -> Worker:
        """The site's worker."""
        ...

    def save(self) -> None:
        """Put the worker's state where a restart finds it."""
        ...


class Channel:
    """Everything that crosses a site's border goes through here, as bytes.

    Parameters
    ----------
    tap : callable, optional
        Is shown every message's bytes, with the site's name and "out" (leaving the site) or "in".
    """

    def __init__(self, tap: Callable[[str, str, bytes], None] | None = None) -> None:
        self._tap = tap
        self.traffic: dict[str, dict[str, list[int]]] = {}

    def carry(self, message: Message, direction: str, limit: int | None = None) -> Message:
        """Encode, count and decode a message: the receiver gets what the bytes say.

        Raises
        ------
        MessageError
            If they are no message, or more than `limit`.
        """
        return decode(self.send(message, direction), limit)

    def send(self, message: Message, direction: str = "in") -> bytes:
        """Encode and count a message whose receiver is elsewhere."""
        data = encode(message)
        self._count(message, direction, data)
        return data

    def receive(self, data: bytes, limit: int | None = None) -> Message:
        """Decode and count what a site elsewhere has sent.

        Raises
        ------
        MessageError
            If it is no message, or more than `limit`.
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


def stopwatch(elapsed: float) -> Callable[[], float]:
    """Return what tells the seconds of a run, by the clock of the running event loop.

    Whatever sleeps on that loop keeps the same time.

    Parameters
    ----------
    elapsed : float
        Seconds at which the run stands now.
    """
    clock = asyncio.get_running_loop().time
    start = clock() - elapsed
    return lambda: clock() - start


async def handle_assignment(site: Site, work: Assignment) -> Report | Exception:
    """Have a site do its work; the error that is its own affair is returned, not raised.

    Raises
    ------
    ModelError
        If nobody could succeed: the key, the name of the model, the quota.
    """
    try:
        report = await site.worker.handle(work)
        site.save()
    except ModelError:
        raise
    except Exception as error:
        return error
    return report


class Inbox:
    """Where an engine brings what came from sites, whatever it is.

    A message that is none counts against its sender; a site that fails is gone, with a notice of
    the error's kind alone, since its text may hold private data; and the others go on.

    Parameters
    ----------
    wire : Wire
    coordinator : Coordinator
    """

    def __init__(self, wire: Channel, coordinator: Coordinator) -> None:
        self._wire, self._coordinator = wire, coordinator
        self._limit = _largest_report(coordinator.plan)
        self._failure: Exception | None = None

    def take(self, site: str, item: Message | bytes | Exception, now: float) -> None:
        """Hand over what a site sent, as a message or as its bytes, or its failure."""
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
        """Return the message that a site has sent.

        Raises
        ------
        MessageError
            If it is none, or larger than any that a site may send.
        """
        if isinstance(item, bytes):
            return self._wire.receive(item, self._limit)
        return self._wire.carry(item, "out", self._limit)

    def nobody_left(self) -> Exception:
        """Return the error of a run that waits for nobody and is not done."""
        return self._failure or AsyndbtError(
            "all sites are gone, or were refused too often: there is no result yet; when they are "
            "back, resume the run"
        )


def _largest_report(plan: Plan) -> int:
    kinds = (StepDone, ConfirmDone, EvaluateDone)
    sizes = (plan.positions, plan.words, plan.confirm_candidates)
    return max(byte_bound(kind, *sizes) for kind in kinds)


class Engine(Protocol):
    """Carries a run to its end.

    Implementations: `LocalEngine`, `VirtualEngine`, `FlowerEngine`.
    """

    def now(self) -> float:
        """Seconds since the start of the run."""
        ...

    async def run(
        self,
        coordinator: Coordinator,
        sites: Mapping[str, Site],
        changed: Callable[[float], None],
    ) -> None:
        """Run until the coordinator is done.

        Parameters
        ----------
        coordinator : Coordinator
            Fresh or restored; work it had handed out is sent again.
        sites : mapping of str to Site
            Those in this process; none where all are elsewhere.
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
        ...
