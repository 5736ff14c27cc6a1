"""What an engine is: it carries messages and says what time it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from asyndbt.federation.coordinator import Coordinator
from asyndbt.federation.messages import Message, decode, encode
from asyndbt.federation.worker import Worker

__all__ = ["Engine", "Site", "Wire"]


class Site(Protocol):
    """What an engine asks of a site: handle an assignment, and keep its state safe."""

    @property
    def worker(self) -> Worker:
        """The site's worker."""
        ...

    def save(self) -> None:
        """Put the worker's state where a restart finds it."""
        ...


class Wire:
    """Everything that crosses a site's border goes through here, as bytes.

    Parameters
    ----------
    tap : callable, optional
        Is shown every message's bytes, with the site's name and "out" (leaving the site) or "in".
    """

    def __init__(self, tap: Callable[[str, str, bytes], None] | None = None) -> None:
        self._tap = tap
        self.traffic: dict[str, dict[str, list[int]]] = {}

    def carry(self, message: Message, direction: str) -> Message:
        """Encode, count and decode a message: the receiver gets what the bytes say."""
        data = encode(message)
        if self._tap is not None:
            self._tap(message.site, direction, data)
        kinds = self.traffic.setdefault(message.site, {})
        count = kinds.setdefault(f"{direction} {type(message).__name__}", [0, 0])
        count[0] += 1
        count[1] += len(data)
        return decode(data)


class Engine(Protocol):
    """Carries a run to its end.

    Implementations: `LocalEngine`, `VirtualEngine`.
    """

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
        changed : callable
            Called with the time after everything the coordinator took in and handed out, before
            any of that work is sent: the moment to write a checkpoint.
        """
        ...
