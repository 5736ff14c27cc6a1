"""SIGTERM, by which machines stop a command, is taken as Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_interrupts() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM do what Ctrl-C does; yield whether one was received.

    Work under way ends as it does at Ctrl-C, on an event loop too, and says how to go on. A SIGTERM
    that someone else takes or ignores is left to them.
    """
    received = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True
        handler = signal.getsignal(signal.SIGINT)
        # Ignored, as a shell has it for commands in the background.
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: received
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
